"""Policies: which rule a layer follows, and what is refused."""

from __future__ import annotations

import pytest

import fpsim
from fpsim import Policy
from fpsim.errors import FpsimError
from fpsim.quant.policy import Rule, TensorSpec, spec

NAMES = ("conv_in", "down.0.conv1", "down.0.attn.to_q", "mid.attn.to_q", "conv_out")


def test_the_last_match_wins_entirely() -> None:
    policy = (
        Policy.uniform("int4", "int8")
        .rule("*attn*", weights=spec("e2m1", "channel", "max"), acts=None)
        .rule("mid.*", weights=None, acts=spec("e4m3", "tensor", "mse"))
    )
    found = policy.resolve(NAMES)
    assert found["conv_in"].weights.format.name == "int4"
    assert found["down.0.attn.to_q"].weights == TensorSpec(
        format=fpsim.format("e2m1"), granularity="channel", scale="max"
    )
    assert found["down.0.attn.to_q"].acts is None  # not int8, which an earlier rule would give
    assert found["mid.attn.to_q"].weights is None
    assert found["mid.attn.to_q"].acts.format.name == "e4m3"


def test_a_later_general_rule_wins_over_an_earlier_special_one() -> None:
    policy = Policy().rule("conv_in", weights=spec("int8", "channel", "max"), acts=None)
    policy = policy.rule("conv*", weights=spec("int4", "channel", "max"), acts=None)
    assert policy.layer("conv_in").weights.format.name == "int4"


def test_skip() -> None:
    policy = Policy.uniform("int4", "int8").skip("conv_*", "mid.*")
    assert [rule.match for rule in policy.rules] == ["*", "conv_*", "mid.*"]
    left = [name for name, rule in policy.resolve(NAMES).items() if rule.weights is None and rule.acts is None]
    assert left == ["conv_in", "mid.attn.to_q", "conv_out"]


def test_without_a_rule_a_layer_is_left_alone() -> None:
    assert Policy().layer("conv_in") == Rule(match="(no rule)", weights=None, acts=None)
    assert Policy().resolve(NAMES)["conv_in"].acts is None


def test_globs_see_capitals_and_brackets() -> None:
    policy = Policy.uniform("int4").skip("down.[0-9].*")
    assert policy.layer("down.0.conv1").weights is None
    assert policy.layer("Down.0.conv1").weights is not None


@pytest.mark.parametrize(
    ("glob", "nearest"), [("conv_inn", "conv_in"), ("Conv_out", "conv_out"), ("mid.attn.to_k", "mid.attn.to_q")]
)
def test_a_rule_that_matches_nothing_names_the_nearest_layer(glob: str, nearest: str) -> None:
    with pytest.raises(FpsimError) as caught:
        Policy.uniform("int4").skip(glob).resolve(NAMES)
    assert str(caught.value) == f"rule {glob!r} matches no layer; the nearest layer is {nearest!r}"


def test_a_model_without_layers() -> None:
    with pytest.raises(FpsimError, match="has no quantizable layer"):
        Policy.uniform("int4").resolve(())


def test_uniform_leaves_none_alone() -> None:
    for nothing in (None, "none"):
        rule = Policy.uniform(nothing, "int8").layer("x")
        assert (rule.weights, rule.acts.granularity) == (None, "tensor")
        rule = Policy.uniform("int8", nothing).layer("x")
        assert (rule.acts, rule.weights.granularity, rule.weights.scale) == (None, "channel", "mse")


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"weights": "e4m33m"}, "unknown format 'e4m33m'"),
        ({"acts": "int1"}, "bits is 1"),
        ({"weights_granularity": "row"}, "'row' is not one of tensor, channel, block:N"),
        ({"acts_granularity": "block:0"}, "block size 0"),
        ({"acts_granularity": "channel"}, "do not fold into a matrix product"),
        ({"scale": "best"}, "'best' is not one of max"),
        ({"scale": "e8m0-floor", "weights": "e2m1"}, "is for blocks, not per channel"),
        ({"weights": "mxfp4", "weights_granularity": "block:16"}, "mxfp4 has blocks of 32, not of 16"),
        ({"weights": "mxfp4", "scale": "e8m0-ceil"}, "mxfp4 has the scale rule e8m0-floor, not e8m0-ceil"),
    ],
)
def test_uniform_refuses(options: dict[str, str], wanted: str) -> None:
    with pytest.raises(FpsimError, match=wanted):
        Policy.uniform(**options)


def test_activations_per_channel_are_refused_in_rules_too() -> None:
    with pytest.raises(FpsimError, match="do not fold"):
        Policy().rule("*", weights=None, acts=spec("int8", "channel", "max"))


def test_descriptions_say_what_names_leave_open() -> None:
    rule = Policy.uniform("e2m1", "e4m3", weights_granularity="block:32").layer("x")
    assert str(rule.weights) == "e2m1 (bias 1, all finite, max 6), per block of 32, mse scale"
    assert str(rule.acts) == "e4m3 (bias 7, fn, max 448), per tensor, mse scale"
    assert str(spec("bfloat16", "tensor", "none")).endswith("max 3.38953e+38), no scale")
    assert "blocks of 32, scale e8m0-floor" in str(spec("mxfp4", "channel", "mse"))


def test_what_is_stored() -> None:
    assert spec("e2m1", "block:32", "e8m0-floor").stored == fpsim.format("mxfp4")
    assert spec("e2m1", "block:32", "mse").stored == fpsim.format("e2m1")
    assert spec("mxfp8", "channel", "mse").stored == fpsim.format("mxfp8")
