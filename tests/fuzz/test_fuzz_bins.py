"""Timestep bins of a policy: wrong ones are one line and exit code 2, right ones are what they say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bin_strategies import bad_acts, good_acts
from fuzz_harness import Tally, fuzz, put
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import nested

from fpsim.errors import FpsimError
from fpsim.quant.act_bin import ActBin
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy import Policy
from fpsim.quant.policy_toml import dumps, loads

pytestmark = pytest.mark.skipif(os.name != "posix", reason="timers as POSIX has them")

RULE = '[[rule]]\nmatch = "*"\n{} = {}\n'
_TWO = '{ bins = [{ to = 3, format = "int8" }, { from = 3, format = "uint4" }] }'
SIMULATE = ["simulate", "--policy", "policy.toml", "--out", "run"]


def test_malformed_bins(place: Path) -> None:
    tally = Tally("timestep bins")

    @fuzz(700)
    @given(bad_acts())
    @example(f'{{ format = "int8", timestep_bins = [{"1," * 999}] }}')
    @example(f'{{ format = "int8", timestep_bins = {nested(99, "[", "]")} }}')
    @example('{ bins = [{ to = "a\\nb", format = "int8" }] }')
    @example('{ bins = [{ to = 1e6, format = "int8" }, { from = 1000000.5, format = "int8" }] }')
    def check(acts: str) -> None:
        text = RULE.format("acts", acts)
        put("policy.toml", text)
        tally.check(SIMULATE, key=text, malformed=True)

    check()
    tally.finish(share=1.0)


@fuzz(150)
@given(st.one_of(good_acts(), good_acts(), bad_acts()))
def test_weights_have_no_bins(acts: str) -> None:
    with pytest.raises(FpsimError):
        loads(RULE.format("weights", acts))


@fuzz(400)
@given(good_acts())
def test_valid_bins_are_what_they_say(acts: str) -> None:
    """Written and read again they are the same, and the text that is written stays the same."""
    policy = loads(RULE.format("acts", acts))
    again = dumps(policy)
    assert loads(again) == policy
    assert dumps(loads(again)) == again
    assert policy.binned
    assert policy.over(1000) == loads(dumps(policy.over(1000)))


@fuzz(300)
@given(bad_acts())
@example('{ bins = [{ to = "a\\nb", format = "int8" }] }')
def test_errors_of_the_library_are_short_lines(acts: str) -> None:
    """As they are raised, before the command line makes them fit."""
    with pytest.raises(FpsimError) as caught:
        loads(RULE.format("acts", acts))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1500


@pytest.mark.parametrize("count", [0, -1, 1001, 10**5000, 2.5, "8", None, float("nan")], ids=lambda v: type(v).__name__)
def test_a_number_of_bins_that_is_none(count: object) -> None:
    with pytest.raises(FpsimError, match=r"1 to 1000$"):
        Policy.uniform(None, "int8", timestep_bins=count)  # type: ignore[arg-type]


def test_bins_of_equal_width_are_alike() -> None:
    bins = loads(RULE.format("acts", _TWO)).rules[0].acts
    assert isinstance(bins, BinnedSpec)
    for wrong in (bins.bins, bins.bins[:1]):
        with pytest.raises(FpsimError, match="timestep bins of equal width have one format and no ends or scales"):
            BinnedSpec(bins=wrong, even=3)
    with pytest.raises(FpsimError, match="more than 1000"):
        BinnedSpec(bins=(ActBin(spec=bins.specs[0]),), even=1001)
