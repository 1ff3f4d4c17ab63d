"""Types in and out: one rounding to the format, one to the output's type, which saturates."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
import torch
from codec_cases import TWINS
from codec_oracle import differences, expected, saturated

import fpsim
from fpsim.number import FloatFormat, exact

NUMPY_TYPES = [np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32), np.dtype(np.float64)]
TORCH_TYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
each_twin = pytest.mark.parametrize("twin", TWINS)


def numbers(count: int) -> np.ndarray:
    return np.random.default_rng(count).normal(size=count).astype(np.float32) * np.float32(3)


@each_twin
@pytest.mark.parametrize("out_type", NUMPY_TYPES, ids=lambda d: d.name)
@pytest.mark.parametrize("in_type", NUMPY_TYPES, ids=lambda d: d.name)
def test_types_in_and_out(in_type: np.dtype, out_type: np.dtype, twin: str) -> None:
    fmt = fpsim.format("e6m7", bias=20.3)
    with np.errstate(over="ignore"):
        x = (numbers(500) * np.exp2(np.linspace(-30, 50, 500))).astype(in_type)
    x[:4] = np.array([np.nan, np.inf, -np.inf, -0.0], in_type)
    width = 64 if in_type.name == "float64" else 32
    wide = expected(fmt, x.astype(f"f{width // 8}"))
    formats = {"float16": exact.BINARY16, "bfloat16": exact.BFLOAT16, "float32": exact.BINARY32}
    wanted = wide.astype(out_type) if out_type.itemsize >= wide.itemsize else None
    if wanted is None:
        nearest = [v if np.isnan(v) else exact.to_width(formats[out_type.name], float(v)) for v in wide]
        wanted = np.array(nearest, np.float64).astype(out_type)
    y = fpsim.quantize(x, fmt, out_dtype=out_type, backend=twin)
    assert not differences(y, wanted, x)
    out = np.empty(500, out_type)
    fpsim.quantize(x, fmt, out=out, backend=twin)
    assert not differences(out, wanted, x)


@each_twin
@pytest.mark.parametrize("kind", TORCH_TYPES, ids=str)
@pytest.mark.parametrize("source", TORCH_TYPES, ids=str)
def test_types_of_tensors(source: torch.dtype, kind: torch.dtype, twin: str) -> None:
    """The same bits as for arrays."""
    names = dict(zip(TORCH_TYPES, NUMPY_TYPES, strict=True))
    x = (torch.from_numpy(numbers(300).astype(np.float64)) * torch.logspace(-9, 12, 300)).to(source)
    y = fpsim.quantize(x, "chen-e5m2", out_dtype=kind, backend=twin)
    wide = fpsim.quantize(x.double() if source == torch.float64 else x.float(), "chen-e5m2").numpy()
    assert y.dtype == kind
    wanted = saturated(wide, names[kind]) if names[kind].itemsize < wide.itemsize else wide
    assert np.array_equal(y.double().numpy(), wanted.astype(np.float64))


@each_twin
def test_results_that_float16_cannot_hold_become_its_nearest_finite_value(twin: str) -> None:
    fmt = fpsim.format("e8m3")
    x = np.array([61000, 65504, -65504, np.inf, 6e-8, 5e-8, 3e-8], np.float16)
    assert fpsim.quantize(x, fmt, backend=twin).tolist()[:4] == [61440, 65504, -65504, 65504]
    assert fpsim.quantize(x[:2], fmt, out_dtype=np.float32, backend=twin).tolist() == [61440, 65536]
    tensor = torch.tensor([65504.0, float("inf")], dtype=torch.float16)
    assert fpsim.quantize(tensor, fmt, backend=twin).tolist() == [65504, 65504]
    assert fpsim.quantize(tensor.float(), fmt, out_dtype=torch.bfloat16, backend=twin)[0].item() == 65536


@each_twin
def test_float64_reaches_sixteen_bits_by_one_rounding(twin: str) -> None:
    """By way of float32 these would be ties, and then go down."""
    fmt = FloatFormat(name="wide", exponent_bits=8, mantissa_bits=45, bias=127)
    for dtype, kind, ulp in (
        (np.dtype(np.float16), torch.float16, 2.0**-10),
        (np.dtype(ml_dtypes.bfloat16), torch.bfloat16, 2.0**-7),
    ):
        x = np.array([1 + ulp / 2 + 2.0**-40, -1 - ulp / 2 - 2.0**-40])
        wanted = [1 + ulp, -1 - ulp]
        assert fpsim.quantize(x, fmt, out_dtype=dtype, backend=twin).astype(float).tolist() == wanted
        assert fpsim.quantize(torch.from_numpy(x), fmt, out_dtype=kind, backend=twin).tolist() == wanted
