"""Which type devices compute in where they have none of the formats': stand-ins, widening and decoding."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support_cases import of

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, ScaleRule
from fpsim.number.names import format as named


@pytest.mark.parametrize(
    ("device", "dtype", "compute", "level", "bits"),
    [
        ("a100", "bf16", "bf16", "native", 16),
        ("a100", "tf32", "tf32", "native", 32),
        ("v100", "bf16", "fp16", "native", 16),
        ("v100", "tf32", "fp32", "native", 32),
        ("xeon", "fp32", "fp32", "native", 32),
        ("xeon", "fp16", "fp32", "stored", 16),
        ("xeon", "bf16", "fp32", "stored", 16),
    ],
)
def test_full_precision_and_its_stand_ins(device: str, dtype: str, compute: str, level: str, bits: int) -> None:
    found = of(None, None, device, dtype)
    assert (found.compute, found.level, found.weight_bits, found.act_bits) == (compute, level, bits, bits)
    assert (f"has no {dtype}" in found.note) is (compute != dtype)


def test_v100_decodes_to_fp16_when_asked_for_bf16() -> None:
    assert of("e4m3", "e4m3", "v100", "bf16").compute == "fp16"
    assert of("e4m3", "e4m3", "a100", "bf16").compute == "bf16"


def test_formats_of_sixteen_bits_are_types_too() -> None:
    assert of("bf16", "bf16", "a100").compute == "bf16"
    assert of("fp16", None, "a100").level == "native"
    assert of("tf32", "tf32", "a100").weight_bits == 32  # as it lies in memory
    other = of("bf16", None, "a100")
    assert (other.level, other.compute, other.exact) == ("stored", "fp16", False)
    assert "fp16 does not hold" in other.note


def test_a_type_of_the_same_width_that_holds_both_is_preferred() -> None:
    assert of("e8m3", "e8m3", "a100").compute == "bf16"  # beyond fp16's range
    assert of("e8m3", None, "a100").compute == "fp16"  # activations are fp16
    assert of("int12", "int12", "a100", "bf16").compute == "fp16"
    assert not of("int16", "int16", "a100").exact


def test_weights_are_widened_to_the_type_that_activations_already_have() -> None:
    for weights, acts, device, compute in (
        ("e2m1", "e4m3", "h100", "fp8"),
        ("int4", "int8", "h100", "int8"),
        ("int4", "e4m3", "h100", "fp8"),
        ("int4", "int8", "a100", "int8"),
        ("e2m1", "e4m3", "orin", "fp16"),
        ("int8", "e4m3", "h100", "fp16"),
        ("int4", "int8", "v100", "fp16"),
    ):
        found = of(weights, acts, device)
        assert (found.level, found.compute, found.decode_weights) == ("stored", compute, True), (weights, acts, device)
        assert found.decode_acts == (compute == "fp16"), (weights, acts, device)


def test_what_a_kernel_could_widen_to() -> None:
    assert of("e2m1", "e2m1", "h100").faster == "fp8"
    assert of("int4", "int4", "h100").faster == "int8"
    assert of("int4", "int4", "v100").faster == ""  # its int8 is slower than fp16
    assert of("int6", "int6", "a100").faster == "int8"
    assert of("mxfp4", "mxfp4", "h100").faster == ""
    assert of("int8", "e4m3", "h100").faster == ""
    assert of("int4", None, "h100").faster == ""
    assert of("e4m3", "e4m3", "h100").faster == ""
    assert "widens them to fp8" in of("e2m1", "e2m1", "h100").note


def test_codebooks_and_other_blocks_are_decoded() -> None:
    nf4 = of("nf4", "nf4", "b200")
    assert (nf4.compute, nf4.exact) == ("fp16", False)
    mx = named("mxfp4")
    assert isinstance(mx, BlockFormat)
    assert of(replace(mx, block=64), replace(mx, block=64), "b200").compute == "fp4"
    assert of(replace(mx, block=16), replace(mx, block=16), "b200").compute == "fp16"
    half = of(replace(mx, element=named("binary16")), None, "b200")
    assert (half.level, half.weight_bits, half.decode_acts) == ("stored", 16.25, False)
    real = replace(mx, scale=named("binary16"), rule=ScaleRule.MAX)
    assert of(real, real, "b200").compute == "fp16"
    assert of(CodebookFormat(name="c", values=(-1.0, 0.0, 1.0)), "int4", "a100").level == "stored"


@pytest.mark.parametrize("dtype", ["fp8", "float16", ""])
def test_full_precision_has_four_names(dtype: str) -> None:
    with pytest.raises(FpsimError, match="fp32, tf32, fp16, bf16"):
        of("e4m3", "e4m3", "h100", dtype)
