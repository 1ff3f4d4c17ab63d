"""Biases of output channels: in specifications, in policies and as scales."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim import FpsimError, Policy, search_format
from fpsim.quant.biases import factors, fixed_scales
from fpsim.quant.granularity import PerChannel
from fpsim.quant.policy import Rule, TensorSpec
from fpsim.quant.policy_toml import dumps, loads
from fpsim.quant.quantizer import Quantizer

E2M1 = fpsim.format("chen-e2m1")


def policy(*biases: float) -> Policy:
    spec = TensorSpec(format=E2M1, granularity="channel", scale="none", biases=biases)
    return Policy((Rule(match="conv", weights=spec, acts=None),))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-300, 300), min_size=1, max_size=5).map(tuple))
def test_what_goes_out_comes_in_to_the_last_bit(biases: tuple[float, ...]) -> None:
    assert loads(dumps(policy(*biases))) == policy(*biases)


def test_the_text() -> None:
    text = '[[rule]]\nmatch = "conv"\nweights = { format = "chen-e2m1", granularity = "channel", scale = "none", '
    assert dumps(policy(2.5, -1.0)) == text + 'biases = [2.5, -1.0] }\nacts = "none"\n'
    short = '[[rule]]\nmatch = "conv"\nweights = { format = "chen-e2m1", biases = [2.5, -1] }\n'
    assert loads(short) == policy(2.5, -1.0)
    assert str(policy(2.5, -1.0).rules[0].weights) == "chen-e2m1, per channel, biases -1 to 2.5"


def test_a_channel_is_rounded_as_the_format_of_its_bias() -> None:
    """With whole differences the scale is a power of two, and the values are those of the format itself."""
    x = np.random.default_rng(1).normal(size=(3, 50)).astype(np.float32)
    biases = (1.0, 3.0, 5.0)
    scales = fixed_scales(E2M1, biases, 3, 32, "w")
    ours = Quantizer(E2M1, PerChannel(0), "none", scales)(x)
    for row, bias, rounded in zip(x, biases, ours, strict=True):
        assert np.array_equal(rounded, fpsim.quantize(row, fpsim.format("chen-e2m1", bias=bias)))


def test_the_scales_are_those_of_the_search() -> None:
    x = np.random.default_rng(2).normal(size=(4, 200)).astype(np.float32)
    found = search_format(x, 4, granularity=PerChannel(0))
    scales = fixed_scales(found.format, found.bias.tolist(), 4, 32, "w")
    assert np.array_equal(scales.scale, found.quantizer().scales.scale)
    assert np.array_equal(factors(found.format.bias, found.bias), found.scales)


WRONG = {
    "none": ("biases = []", "biases are one finite number an output channel"),
    "nan": ("biases = [1.0, nan]", "biases are one finite number"),
    "inf": ("biases = [inf]", "biases are one finite number"),
    "huge": (f"biases = [{'9' * 400}]", "biases are one finite number"),
    "text": ('biases = ["1"]', "key 'biases': a list of numbers"),
    "truth": ("biases = [true]", "key 'biases': a list of numbers"),
    "one number": ("biases = 1.0", "key 'biases': a list of numbers"),
    "scale": ('biases = [1.0], scale = "mse"', "granularity is 'channel' and scale 'none', not 'channel' and 'mse'"),
    "granularity": ('biases = [1.0], granularity = "tensor"', "not 'tensor' and 'none'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refused(case: str) -> None:
    keys, message = WRONG[case]
    with pytest.raises(FpsimError, match=message) as caught:
        loads(f'[[rule]]\nmatch = "*"\nweights = {{ format = "e2m1", {keys} }}\n')
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("the policy: rule 1: weights: ")


def test_not_for_integers_and_inputs() -> None:
    with pytest.raises(FpsimError, match="biases are for floats, not for int4"):
        loads('[[rule]]\nmatch = "*"\nweights = { format = "int4", biases = [1.0] }\n')
    with pytest.raises(FpsimError, match="activations per channel"):
        loads('[[rule]]\nmatch = "*"\nacts = { format = "e4m3", granularity = "channel", biases = [1.0] }\n')


@pytest.mark.parametrize(
    ("biases", "message"),
    [((1.0, 2.0), "w has 3 output channels, but the policy has 2"), ((1.0, 2.0, 1e4), "too far from that of")],
)
def test_biases_that_do_not_fit_the_tensor(biases: tuple[float, ...], message: str) -> None:
    with pytest.raises(FpsimError, match=message) as caught:
        fixed_scales(E2M1, biases, 3, 32, "w")
    assert "\n" not in str(caught.value)
