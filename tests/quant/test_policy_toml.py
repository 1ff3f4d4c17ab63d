"""Policies as TOML: what goes out comes in again."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim import Policy
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, IntFormat
from fpsim.quant.policy import Rule, TensorSpec, spec
from fpsim.quant.policy_toml import dumps, loads

NAMES = st.sampled_from(["mine", "e4m3", "int8", "E2M1", "q4.4", "a b", 'x"y', "é", "mxfp4"])
finite = st.floats(-1e30, 1e30)


@st.composite
def floats(draw: Any) -> FloatFormat:
    e, m = draw(st.integers(1, 8)), draw(st.integers(0, 7))
    kinds = ["none"] + ["fn"] * (m > 0) + ["ieee", "fnuz"] * (m > 0 and e > 1)
    signed = draw(st.booleans())
    specials = draw(st.sampled_from([kind for kind in kinds if signed or kind != "fnuz"]))
    bias = draw(st.integers(-20, 200) | st.floats(-20, 200))
    subnormals = draw(st.booleans()) or e == 1
    return FloatFormat(
        name=draw(NAMES), exponent_bits=e, mantissa_bits=m, bias=bias, signed=signed, specials=specials,
        subnormals=subnormals,
    )  # fmt: skip


ints = st.builds(
    lambda name, bits, kind, fraction: IntFormat(
        name=name, bits=bits, signed=kind != "unsigned", full=kind == "full", fraction_bits=fraction
    ),
    NAMES,
    st.integers(2, 16),
    st.sampled_from(["signed", "unsigned", "full"]),
    st.integers(0, 8),
)
codebooks = st.builds(
    lambda name, values: CodebookFormat(name=name, values=tuple(sorted(values))),
    NAMES,
    st.sets(finite, min_size=2, max_size=6),
)
elements = floats() | ints | codebooks
e8m0, ue4m3 = fpsim.format("e8m0"), FloatFormat(name="u", exponent_bits=4, mantissa_bits=3, bias=7, signed=False)
blocks = st.builds(
    lambda name, element, block, scale: BlockFormat(
        name=name, element=element, block=block, scale=scale[0], rule=scale[1], tensor_scale=scale[0] is ue4m3
    ),
    NAMES,
    elements,
    st.integers(2, 64),
    st.sampled_from([(e8m0, "floor"), (e8m0, "rceil"), (fpsim.format("e4m3"), "max"), (ue4m3, "max")]),
)
named = st.sampled_from(["e4m3", "int8", "uint4", "mxfp4", "nvfp4", "nf4", "chen-e2m1", "e4m3-fnuz"]).map(fpsim.format)


@st.composite
def specs(draw: Any, granularities: tuple[str, ...]) -> TensorSpec:
    fmt, granularity = draw(named | elements | blocks), draw(st.sampled_from(granularities))
    if isinstance(fmt, BlockFormat) and granularity.startswith("block"):
        granularity = f"block:{fmt.block}"  # another one is refused
    rules = ["max", "mse", "percentile", "percentile:99.5", "none"]
    if granularity.startswith("block") and not isinstance(fmt, BlockFormat):
        rules += ["e8m0-floor", "e4m3-max"]
    return TensorSpec(format=fmt, granularity=granularity, scale=draw(st.sampled_from(rules)))


rules = st.builds(
    lambda match, weights, acts: Rule(match=match, weights=weights, acts=acts),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.none() | specs(("tensor", "channel", "block:8")),
    st.none() | specs(("tensor", "block:32")),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(rules, min_size=1, max_size=4).map(tuple).map(Policy))
def test_what_goes_out_comes_in(policy: Policy) -> None:
    text = dumps(policy)
    assert loads(text) == policy
    assert dumps(loads(text)) == text or any("formats" in line for line in text.splitlines())
    tomllib.loads(text)


def test_the_text_is_one_to_write_by_hand() -> None:
    policy = Policy.uniform("e2m1", fpsim.format("e4m3", bias=6.37)).skip("conv_in")
    assert dumps(policy) == (
        '[[rule]]\nmatch = "*"\n'
        'weights = { format = "e2m1", granularity = "channel", scale = "mse" }\n'
        'acts = { format = "e4m3", bias = 6.37, granularity = "tensor", scale = "mse" }\n'
        '\n[[rule]]\nmatch = "conv_in"\nweights = "none"\nacts = "none"\n'
    )


def test_numpys_numbers_are_written_as_numbers() -> None:
    policy = Policy.uniform(fpsim.format("e3m4", bias=np.float64(6.25)), fpsim.format([np.float32(-1), np.float32(2)]))
    assert loads(dumps(policy)) == policy


def test_formats_of_one_name_are_told_apart() -> None:
    mine = [FloatFormat(name="mine", exponent_bits=3, mantissa_bits=m, bias=3, signed=False) for m in (1, 2, 3)]
    theirs = IntFormat(name="int8", bits=8, fraction_bits=3)
    policy = Policy.uniform(mine[0], mine[1]).rule("x", weights=spec(mine[2], "channel", "max"), acts=None)
    policy = policy.rule("y", weights=spec(theirs, "tensor", "max"), acts=spec("int8", "tensor", "max"))
    again = loads(dumps(policy))
    assert again == policy
    assert again.layer("y").acts.format == fpsim.format("int8") != again.layer("y").weights.format


def test_short_forms() -> None:
    policy = loads(
        '[[rule]]\nmatch = "*"\nweights = "int4"\nacts = { format = "e4m3", bias = 8 }\n'
        '[[rule]]\nmatch = "mid*"\nweights = [-1, 0, 1.5]\n'
        '[[rule]]\nmatch = "conv_in"\nskip = true\n'
        '[[rule]]\nmatch = "conv_out"\nskip = false\nacts = "mxfp8"\n'
    )
    assert policy.layer("x").weights == TensorSpec(format=fpsim.format("int4"), granularity="channel", scale="mse")
    assert policy.layer("x").acts == TensorSpec(format=fpsim.format("e4m3", bias=8), granularity="tensor", scale="mse")
    assert policy.layer("mid.0").weights.format.values == (-1, 0, 1.5)
    assert policy.layer("mid.0").acts is None
    assert policy.layer("conv_in") == Rule(match="conv_in", weights=None, acts=None)
    assert policy.layer("conv_out").acts.format == fpsim.format("mxfp8")


def test_formats_of_the_policy_and_of_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[warm]\nexponent_bits = 3\nmantissa_bits = 2\nbias = 4\n")
    text = (
        '[formats.cold]\nkind = "int"\nbits = 5\n'
        '[formats.runs]\nkind = "block"\nelement = "cold"\nblock = 8\nscale = "e8m0"\nrule = "ceil"\n'
        f'[[rule]]\nmatch = "*"\nweights = "runs"\nacts = "{file}#warm"\n'
        '[[rule]]\nmatch = "x"\nacts = { format = "warm", bias = 5.5 }\n'
    )
    policy = loads(text, formats_files=[str(file)])
    assert policy.layer("a").weights.format.element == IntFormat(name="cold", bits=5)
    assert policy.layer("a").acts.format.bias == 4
    assert policy.layer("x").acts.format.bias == 5.5
    assert loads(dumps(policy)) == policy  # needs the file no more
