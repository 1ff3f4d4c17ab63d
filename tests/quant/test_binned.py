"""Activations that follow the timestep, as a policy says them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim import Policy
from fpsim.errors import FpsimError
from fpsim.quant.act_bin import ActBin
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import BinnedSpec, plain
from fpsim.quant.policy import Rule, TensorSpec, spec
from fpsim.quant.policy_toml import dumps, loads

RULE = '[[rule]]\nmatch = "*"\n'


def of(name: str, granularity: str = "tensor", scale: str = "mse") -> TensorSpec:
    found = spec(name, granularity, scale)
    assert found is not None
    return found


INT8, E4M3 = of("int8"), of("e4m3")


@pytest.mark.parametrize(
    ("acts", "wanted"),
    [
        ('{ format = "int8", timestep_bins = 4 }', BinnedSpec.equally(4, INT8)),
        (
            '{ format = "int8", timestep_bins = [250, 500.5] }',
            BinnedSpec.of(TimestepBins((250, 500.5)), [INT8, INT8, INT8]),
        ),
        (
            '{ bins = [{ to = 300, format = "int8" }, { from = 300, format = "e4m3", scale = "mse" }] }',
            BinnedSpec.of(TimestepBins((300,)), [INT8, E4M3]),
        ),
        (
            '{ scale = "max", bins = [{ from = 0, to = 1000, format = "int8", value = 0.25 }] }',
            BinnedSpec(bins=(ActBin(start=0, stop=1000, spec=of("int8", scale="max"), value=0.25),)),
        ),
        ('{ bins = [{ from = -inf, to = inf, format = "int8" }] }', BinnedSpec(bins=(ActBin(spec=INT8),))),
    ],
)
def test_toml_to_bins(acts: str, wanted: BinnedSpec) -> None:
    policy = loads(f"{RULE}acts = {acts}\n")
    assert policy.layer("any").acts == wanted
    assert loads(dumps(policy)) == policy
    assert policy.binned


SPECS = st.sampled_from(
    [INT8, E4M3, of("e3m4", scale="max"), of("mxfp8"), of("e2m1", "block:16"), of("uint4"), of("nf4")]
)


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=6, unique=True),
    st.data(),
)
@settings(deadline=None)
def test_any_bins_round_trip(edges: list[float], data: st.DataObject) -> None:
    bins = TimestepBins(tuple(sorted(edges)))
    specs = data.draw(st.lists(SPECS, min_size=bins.count, max_size=bins.count))
    policy = Policy().rule("*", weights=None, acts=BinnedSpec.of(bins, specs))
    assert loads(dumps(policy)) == policy
    t = data.draw(st.floats(-2e6, 2e6))
    acts = policy.rules[0].acts
    assert isinstance(acts, BinnedSpec)
    assert acts.specs[acts.number(t)] == specs[bins.of(t)]
    assert acts.bins[acts.number(t)].start <= t < acts.bins[acts.number(t)].stop


MALFORMED = {
    "no bin": ('{ format = "int8", timestep_bins = 0 }', "less than 1 timestep bins were asked for"),
    "negative": ('{ format = "int8", timestep_bins = -9223372036854775808 }', "less than 1 timestep bins"),
    "many": ('{ format = "int8", timestep_bins = 9223372036854775807 }', "more than 1000 timestep bins"),
    "truth value": ('{ format = "int8", timestep_bins = true }', "key 'timestep_bins': True is neither a number"),
    "text": ('{ format = "int8", timestep_bins = "8" }', "key 'timestep_bins': 8 is neither a number"),
    "no edge": ('{ format = "int8", timestep_bins = [] }', "key 'timestep_bins': [] is neither a number"),
    "edges fall": ('{ format = "int8", timestep_bins = [500, 250] }', "do not rise"),
    "edge nan": ('{ format = "int8", timestep_bins = [nan] }', "key 'timestep_bins': nan is no finite number"),
    "no format": ("{ timestep_bins = 2 }", "acts: key 'format' is missing"),
    "both": ('{ format = "int8", timestep_bins = 2, bins = [] }', "'timestep_bins' contradicts 'bins'"),
    "unknown": ('{ format = "int8", timestep_bins = 2, bits = 3 }', "unknown key 'bits'"),
    "no bins": ("{ bins = [] }", "a list of timestep bins is empty"),
    "bins no list": ("{ bins = 3 }", "key 'bins': a list of at most 1000 tables"),
    "bins no tables": ("{ bins = [3] }", "key 'bins': a list of at most 1000 tables"),
    "gap": (
        '{ bins = [{ to = 250, format = "int8" }, { from = 300, format = "int8" }] }',
        "timestep bins below 250 and 300 on leave a gap",
    ),
    "overlap": (
        '{ bins = [{ to = 250, format = "int8" }, { from = 200, format = "int8" }] }',
        "timestep bins below 250 and 200 on overlap",
    ),
    "two open": ('{ bins = [{ format = "int8" }, { format = "int8" }] }', "overlap"),
    "unsorted": (
        '{ bins = [{ from = 250, format = "int8" }, { to = 250, format = "int8" }] }',
        "timestep bins 250 on and below 250 are unsorted",
    ),
    "empty bin": ('{ bins = [{ from = 5, to = 5, format = "int8" }] }', "bin 1: timestep bin 5 to 5: its end is not"),
    "from text": ('{ bins = [{ from = "a", format = "int8" }] }', "bin 1: key 'from': a is no finite number"),
    "to nan": ('{ bins = [{ to = nan, format = "int8" }] }', "bin 1: key 'to': nan is no finite number"),
    "bin key": ('{ bins = [{ step = 3, format = "int8" }] }', "bin 1: unknown key 'step'"),
    "bin format": ("{ bins = [{ to = 3 }] }", "bin 1: key 'format' is missing"),
    "channel": ('{ bins = [{ format = "int8", granularity = "channel" }] }', "bin 1: activations per channel"),
    "all channel": ('{ format = "int8", granularity = "channel", timestep_bins = 2 }', "activations per channel"),
    "value 0": ('{ bins = [{ format = "int8", value = 0 }] }', "bin 1: 0 cannot be a scale"),
    "value large": ('{ bins = [{ format = "int8", value = 1e39 }] }', "bin 1: 1e+39 cannot be a scale"),
    "value of blocks": ('{ bins = [{ format = "mxfp8", value = 1.0 }] }', "a fixed scale of 1 is for activations per"),
    "value unsigned": ('{ bins = [{ format = "uint8", value = 1.0 }] }', "uint8 needs a zero point"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(case: str) -> None:
    acts, wanted = MALFORMED[case]
    with pytest.raises(FpsimError) as caught:
        loads(f"{RULE}acts = {acts}\n", file="p.toml")
    message = str(caught.value)
    assert wanted in message
    assert message.startswith("p.toml: rule 1: acts: ")
    assert "\n" not in message


def test_weights_have_no_bins() -> None:
    with pytest.raises(FpsimError, match="weights: unknown key 'timestep_bins'"):
        loads(RULE + 'weights = { format = "int8", timestep_bins = 2 }\n')


def test_equal_bins_follow_the_training() -> None:
    policy = Policy.uniform("int4", "int8", timestep_bins=4).skip("conv_in")
    assert policy.over(1000).rules[0].acts == BinnedSpec.of(TimestepBins((250, 500, 750)), [INT8] * 4)
    assert policy.over(200).rules[0].acts == BinnedSpec.of(TimestepBins((50, 100, 150)), [INT8] * 4)
    assert policy.over(200).over(1000) == policy.over(200)
    assert policy.over(1000).rules[1] == policy.rules[1]
    assert Policy.uniform("int4", "int8", timestep_bins=1) == Policy.uniform("int4", "int8")
    assert Policy.uniform("int4", None, timestep_bins=4) == Policy.uniform("int4")
    with pytest.raises(FpsimError, match="less than 1 timestep bins"):
        Policy.uniform(None, None, timestep_bins=0)


def test_a_timestep_outside_closed_bins() -> None:
    closed = BinnedSpec(bins=(ActBin(start=0, stop=500, spec=INT8), ActBin(start=500, stop=1000, spec=E4M3)))
    assert [closed.number(t) for t in (0, 499.999, 500, 999.9)] == [0, 0, 1, 1]
    for t in (-1, 1000, math.inf, math.nan):
        with pytest.raises(FpsimError, match=r"no timestep bin holds timestep .* they reach from 0 to 1000"):
            closed.number(t)


def test_words_and_the_only_format() -> None:
    same, two = BinnedSpec.equally(8, INT8), BinnedSpec.of(TimestepBins((300,)), [INT8, E4M3])
    assert str(same) == "int8 (-127 to 127), per tensor, mse scale, in 8 timestep bins"
    assert "(below 300); e4m3" in str(two)
    assert str(two).endswith("(300 on)")
    assert same.stored == INT8.format
    with pytest.raises(FpsimError, match=r"several formats over the timestep \(int8, e4m3\)"):
        two.stored  # noqa: B018
    assert plain(INT8, "it") is INT8
    with pytest.raises(FpsimError, match="it does not take timestep bins"):
        plain(same, "it")
    with pytest.raises(FpsimError, match="activations per channel"):
        Rule(match="*", weights=None, acts=of("int8", "channel"))
