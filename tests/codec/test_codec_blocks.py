"""Block formats against a plain evaluation of the standards' rules on fractions."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from codec_block_oracle import blocks, quantized
from codec_cases import TWINS
from codec_oracle import differences, saturated

import fpsim
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat

MX = ("mxfp8-e4m3", "mxfp8-e5m2", "mxfp6-e2m3", "mxfp6-e3m2", "mxfp4", "mxint8")
RULES = ("floor", "even", "ceil", "rceil")
E8M0 = fpsim.format("e8m0")


def block_format(element: Any, block: int, scale: Any = "e8m0", rule: str = "floor", **more: Any) -> BlockFormat:
    element, scale = fpsim.format(element), fpsim.format(scale)
    name = f"{element.name}-{block}-{scale.name}-{rule}"
    return BlockFormat(name=name, element=element, block=block, scale=scale, rule=rule, **more)


#: Other blocks than the catalogue's: odd lengths, long ones, integers, codebooks, other formulations.
POWERS = [
    block_format("int4", 32),
    block_format("int8-full", 32, rule="rceil"),
    block_format("e2m1", 7, rule="even"),
    block_format("e4m3", 256, rule="ceil"),
    block_format("nf4", 32, rule="rceil"),
    block_format("e3m0", 32),
    block_format(fpsim.format("e4m3", subnormals=False), 16, rule="rceil"),
    block_format("e4m3-fnuz", 32, rule="even"),
    block_format(fpsim.format("e2m1", bias=1.6), 32),
    block_format(fpsim.format("e2m1", bias=2 - 1e-12), 32),
]
RATIOS = [
    fpsim.format("nvfp4"),
    block_format("e2m1", 16, "e4m3", "max"),
    block_format("int4", 8, "e4m3", "max", tensor_scale=True),
    block_format("nf4", 8, "e5m2", "max", tensor_scale=True),
    block_format(fpsim.format("e2m1", bias=1.6), 16, "e4m3", "max", tensor_scale=True),
    block_format("e2m1", 16, fpsim.format("e5m2", subnormals=False), "max"),
]


def check(fmt: BlockFormat, x: np.ndarray, wanted: np.ndarray) -> None:
    for twin in TWINS:
        assert not differences(fpsim.quantize(x, fmt, backend=twin), wanted, x), twin
        tensor = fpsim.quantize(torch.from_numpy(x), fmt, backend=twin)
        assert not differences(tensor.numpy(), wanted, x), f"{twin}, tensor"


@pytest.mark.parametrize(("dtype", "columns"), [(np.float32, 96), (np.float32, 100), (np.float64, 96)])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", MX)
def test_mx_formats(name: str, rule: str, dtype: type[np.floating], columns: int) -> None:
    fmt = fpsim.format(f"{name}-{rule}")
    x = blocks(dtype, columns)
    check(fmt, x, quantized(fmt, x))


@pytest.mark.parametrize("fmt", POWERS, ids=lambda f: f.name)
def test_other_blocks_with_power_of_two_scales(fmt: BlockFormat) -> None:
    for dtype, columns in ((np.float32, 2 * fmt.block), (np.float32, fmt.block + 3), (np.float64, fmt.block + 3)):
        x = blocks(dtype, columns)
        check(fmt, x, quantized(fmt, x))


@pytest.mark.parametrize("columns", [64, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", RATIOS, ids=lambda f: f.name)
def test_blocks_with_rounded_scales(fmt: BlockFormat, dtype: type[np.floating], columns: int) -> None:
    x = blocks(dtype, columns)
    check(fmt, x, quantized(fmt, x))
    for part in (x[:1], x[9:11], x[11:12], x[13:14], x[20:]):
        check(fmt, part, quantized(fmt, part))


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "mxint8"])
def test_every_axis_length(name: str) -> None:
    fmt = fpsim.format(name)
    x = np.random.default_rng(2).normal(size=(1, 100)).astype(np.float32)
    for length in range(1, 101):
        part = np.ascontiguousarray(x[:, :length])
        wanted = quantized(fmt, part)
        for twin in TWINS:
            assert not differences(fpsim.quantize(part, fmt, backend=twin), wanted, part)
        assert not differences(fpsim.quantize(part[0], fmt), wanted[0], part[0])


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["mxfp8", "mxfp4", "mxint8", "nvfp4"])
def test_many_blocks(name: str, twin: str) -> None:
    """More blocks than a group of the compiled kernel holds, on more than one task."""
    fmt = fpsim.format(name)
    x = np.random.default_rng(4).standard_t(3, size=(19, 32 * 25)).astype(np.float32)
    assert not differences(fpsim.quantize(x, fmt, backend=twin), quantized(fmt, x), x)


@pytest.mark.parametrize("dtype", [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)], ids=lambda d: d.name)
@pytest.mark.parametrize("name", ["mxfp4", "mxfp8-e5m2-ceil", "nvfp4"])
def test_sixteen_bit_inputs(name: str, dtype: np.dtype) -> None:
    fmt = fpsim.format(name)
    x = np.random.default_rng(6).permutation(np.arange(1 << 16, dtype=np.uint16)).view(dtype).reshape(-1, 64)[:300]
    wanted = saturated(quantized(fmt, x.astype(np.float32)), dtype)
    for twin in TWINS:
        assert not differences(fpsim.quantize(x, fmt, backend=twin), wanted, x)


def test_worked_example_of_the_standard() -> None:
    """Largest magnitude 7: exponent 2 − emax 2 = 0, so the scale is 1 and 7 saturates to 6."""
    x = np.zeros(32, np.float32)
    x[:5] = (7, -5, 0.3, 0.25, 2.5)
    assert fpsim.quantize(x, "mxfp4")[:5].tolist() == [6, -4, 0.5, 0, 2]
    assert fpsim.quantize(x, "mxfp4-ceil")[:5].tolist() == [8, -4, 0, 0, 2]
    assert fpsim.encode(x, "mxfp4").scales.tolist() == [[127]]
    assert fpsim.encode(x, "mxfp4-ceil").scales.tolist() == [[128]]


def test_nvfp4_by_hand() -> None:
    x = np.zeros(32, np.float32)
    x[0], x[16], x[17] = 6 * 448 * 2, 12, -5
    encoded = fpsim.encode(x, "nvfp4")
    assert encoded.tensor_scale == 2
    assert encoded.scales.tolist() == [[0x7E, 0x38]]
    assert fpsim.quantize(x, "nvfp4")[[0, 16, 17]].tolist() == [5376, 12, -4]


@pytest.mark.parametrize("twin", TWINS)
def test_strict_refuses_a_short_block(twin: str) -> None:
    x = np.ones((2, 40), np.float32)
    message = r"last axis has 40 elements, which is no multiple of mxfp4's block of 32; drop strict"
    with pytest.raises(fpsim.FpsimError, match=message):
        fpsim.quantize(x, "mxfp4", strict=True, backend=twin)
    with pytest.raises(fpsim.FpsimError, match=message):
        fpsim.encode(x, "mxfp4", strict=True)
    whole = np.ones((2, 64), np.float32)
    assert np.array_equal(fpsim.quantize(whole, "mxfp4", strict=True, backend=twin), whole)


@pytest.mark.parametrize("shape", [(3, 0), (0,), (0, 64), (0, 5), (2, 0, 32)])
@pytest.mark.parametrize("name", ["mxfp4", "nvfp4"])
def test_empty_arrays(name: str, shape: tuple[int, ...]) -> None:
    for twin in TWINS:
        assert fpsim.quantize(np.empty(shape, np.float32), name, backend=twin).shape == shape
        assert fpsim.quantize(torch.empty(shape), name, backend=twin).shape == shape
    assert fpsim.decode(fpsim.encode(np.empty(shape, np.float32), name)).shape == shape


def test_the_rule_even_needs_a_mantissa() -> None:
    fmt = BlockFormat(name="b", element=CodebookFormat(name="c", values=(-1.0, 1.0)), block=32, scale=E8M0, rule="even")
    with pytest.raises(fpsim.FpsimError, match="a codebook lacks"):
        fpsim.quantize(np.ones(32, np.float32), fmt)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("exponent_bits", "bias"), [(8, 100), (8, 150), (11, 1023)])
def test_scale_formats_reach_no_further_than_the_working_width(exponent_bits: int, bias: int, twin: str) -> None:
    """Scale formats whose lowest and highest powers leave binary32."""
    scale = FloatFormat(
        name="s",
        exponent_bits=exponent_bits,
        mantissa_bits=0,
        bias=bias,
        signed=False,
        subnormals=False,
        zero=False,
        specials="fn",
    )
    fmt = BlockFormat(name="b", element=fpsim.format("e2m1"), block=32, scale=scale, rule="floor")
    for dtype in (np.float32, np.float64):
        x = np.random.default_rng(8).normal(size=(6, 32)).astype(dtype)
        with np.errstate(under="ignore"):
            x[1:5] *= np.array([[1e-40], [5e37], [0], [1e-30]], dtype)
            x[5] = np.finfo(dtype).max / 3
        y = fpsim.quantize(x, fmt, backend=twin)
        assert not differences(y, quantized(fmt, x), x)
        assert not differences(fpsim.decode(fpsim.encode(x, fmt), dtype=dtype), y, x)
        tensor = fpsim.quantize(torch.from_numpy(x), fmt, backend=twin).numpy()
        assert not differences(tensor, y, x)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["nvfp4", "mxfp4", "mxfp8-rceil", "mxint8-ceil"])
def test_nothing_overflows(name: str, twin: str) -> None:
    for dtype in (np.float32, np.float64):
        top = np.finfo(dtype).max
        x = np.repeat(np.array([np.inf, top, -top / 3, 1], dtype), 16)
        y = fpsim.quantize(x, name, backend=twin)
        assert np.isfinite(y).all()
        assert not differences(fpsim.decode(fpsim.encode(x, name), dtype=dtype), y, x)
