"""Which instruction multiplies which formats, and what is refused in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import fpsim
from fpsim import FpsimError, Policy
from fpsim.model.arithmetic import Arithmetic, named
from fpsim.model.operand_types import choose


def chosen(arch: str, weights: str, acts: str, **options: Any) -> str:
    return str(choose(Arithmetic(arch=arch, **options), fpsim.format(acts), fpsim.format(weights), "layer 'a'"))


@pytest.mark.parametrize(
    ("arch", "weights", "acts", "wanted"),
    [
        ("hopper", "e4m3", "e4m3", "e4m3 (wgmma, K 32)"),
        ("hopper", "e2m1", "e2m1", "e4m3 (wgmma, K 32)"),
        ("hopper", "e5m2", "e4m3", "e4m3×e5m2 (wgmma, K 32)"),
        ("hopper", "int8", "int8", "int8 (wgmma, K 32)"),
        ("hopper", "int4", "int4", "int8 (wgmma, K 32)"),
        ("hopper", "int8", "uint8", "uint8×int8 (wgmma, K 32)"),
        ("hopper", "uint4", "int4", "int8×uint8 (wgmma, K 32)"),
        ("ampere", "uint8", "uint4", "uint8 (mma, K 16)"),
        ("turing", "int8", "uint8", "uint8×int8 (mma, K 16)"),
        ("blackwell-sm100", "int8", "uint8", "uint8×int8 (tcgen05, K 32)"),
        ("volta", "int8", "uint8", "fp16 (mma, K 4)"),
        ("hopper", "e4m3", "uint4", "e4m3 (wgmma, K 32)"),
        ("hopper", "int8", "e4m3", "fp16 (wgmma, K 16)"),
        ("hopper", "fp16", "e4m3", "fp16 (wgmma, K 16)"),
        ("hopper", "bf16", "bf16", "bf16 (wgmma, K 16)"),
        ("ada", "e4m3", "e4m3", "e4m3 (mma, K 16)"),
        ("ampere", "e4m3", "e4m3", "fp16 (mma, K 8)"),
        ("ampere", "e3m4", "e3m4", "fp16 (mma, K 8)"),
        ("ampere", "int8", "int8", "int8 (mma, K 16)"),
        ("volta", "int8", "int8", "fp16 (mma, K 4)"),
        ("blackwell-sm100", "e2m1", "e2m1", "e2m1 (tcgen05, K 32)"),
        ("blackwell-sm100", "e2m1", "e4m3", "e4m3×e2m1 (tcgen05, K 32)"),
        ("blackwell-sm100", "int4", "int4", "int8 (tcgen05, K 32)"),
        ("blackwell-sm100", "nvfp4", "nvfp4", "nvfp4 (tcgen05, K 64)"),
        ("blackwell-sm100", "mxfp4", "mxfp8", "mxfp8-e4m3×mxfp4 (tcgen05-mxf8f6f4, K 32)"),
        ("blackwell-sm120", "mxfp8", "mxfp8", "mxfp8-e4m3 (mma, K 32)"),
    ],
)
def test_the_narrowest_types_that_hold_both(arch: str, weights: str, acts: str, wanted: str) -> None:
    assert chosen(arch, weights, acts) == wanted


@pytest.mark.parametrize(
    ("arch", "weights", "acts", "options", "message"),
    [
        ("hopper", "e3m4", "e4m3", {}, r"types of 8 bits \(e4m3, e5m2\) lack; fp16 holds it: add --operand-type fp16"),
        ("hopper", "uint8", "e4m3", {"operand_type": "int8"}, "hopper has no operand type for e4m3"),
        ("hopper", "uint8", "int8", {"operand_type": "uint8"}, r"hopper has no operand type for int8 .*it has uint8"),
        ("hopper", "mxfp8", "mxfp8", {}, "its instructions take no scales of blocks"),
        ("hopper", "nf4", "e4m3", {}, "hopper has no operand type for nf4"),
        ("volta", "bf16", "bf16", {}, r"volta has no operand type for .*it has fp16"),
        ("blackwell-sm100", "nvfp4", "e4m3", {}, "no instruction of blackwell-sm100 multiplies e4m3 .* with nvfp4"),
        (
            "hopper",
            "e4m3",
            "e4m3",
            {"operand_type": "e2m1"},
            "operand type 'e2m1' is none of hopper; it has fp16, bf16",
        ),
        ("hopper", "e3m4", "e3m4", {"operand_type": "e4m3"}, "hopper has no operand type for e3m4"),
        ("hopper", "e4m3", "e4m3", {"promote_every": 100}, "sums 32 elements of e4m3 at once; give a multiple"),
        ("hopper", "e4m3", "e4m3", {"promote_every": 0}, "--promote-every 0: give a positive number"),
        ("pascal", "e4m3", "e4m3", {}, "arithmetic 'pascal' is not one of fp32, volta, turing, ampere"),
    ],
)
def test_refused(arch: str, weights: str, acts: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError, match=message) as refusal:
        chosen(arch, weights, acts, **options)
    assert "\n" not in str(refusal.value)


def test_a_wider_type_that_was_asked_for() -> None:
    assert chosen("hopper", "int8", "uint4", operand_type="int8") == "int8 (wgmma, K 32)"
    assert chosen("hopper", "int8", "uint8", operand_type="fp16") == "fp16 (wgmma, K 16)"
    assert chosen("hopper", "e3m4", "e3m4", operand_type="fp16") == "fp16 (wgmma, K 16)"
    assert chosen("hopper", "e4m3", "e4m3", operand_type="bf16") == "bf16 (wgmma, K 16)"


@pytest.mark.parametrize(
    ("layer", "policy", "message"),
    [
        (nn.Linear(4, 4), Policy.uniform("e4m3", None), "the model has activations in full precision"),
        (nn.Linear(4, 4), Policy.uniform(None, "e4m3"), "the model has weights in full precision"),
        (nn.Conv3d(4, 4, 1), Policy.uniform("e4m3", "e4m3"), "is a Conv3d, which has no tensor-core product"),
        (nn.ConvTranspose2d(4, 4, 1), Policy.uniform("e4m3", "e4m3"), "is a ConvTranspose2d"),
        (
            nn.Linear(64, 4),
            Policy.uniform("e4m3", "e4m3", weights_granularity="block:32", scale="max"),
            "blocks with scales in full precision, which no instruction takes",
        ),
    ],
)
def test_a_layer_that_cannot_run_leaves_the_model_as_it_was(layer: nn.Module, policy: Policy, message: str) -> None:
    with pytest.raises(FpsimError, match=message):
        fpsim.quantize_(layer, policy, arithmetic="hopper")
    assert "forward" not in vars(layer)


def test_layers_left_in_full_precision_stay_so() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ConvTranspose1d(4, 4, 1))
    policy = Policy.uniform("e4m3", "e4m3").skip("1")
    with torch.no_grad(), fpsim.quantize_(model, policy, arithmetic="hopper") as handle:
        assert handle.products == {"0": "e4m3 (wgmma, K 32)"}
        model(torch.ones(2, 4, 8))


@pytest.mark.parametrize("option", ["promote_every", "operand_type"])
def test_fp32_has_no_settings(option: str) -> None:
    with pytest.raises(FpsimError, match=f"--{option.replace('_', '-')} 1 is for tensor cores"):
        named("fp32", **{option: 1})


def test_in_words() -> None:
    assert named(None) is None
    assert named("fp32") is None
    assert str(named("hopper", operand_type="fp16", promote_every=64)) == (
        "hopper, fp16 operands, promoted to FP32 every 64 elements"
    )
