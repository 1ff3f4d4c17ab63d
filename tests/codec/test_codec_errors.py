"""Everything a caller can get wrong in the codec has its one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from codec_cases import TWINS

import fpsim
from fpsim.codec.encoded import Encoded
from fpsim.number import FloatFormat, exact

X = np.linspace(-3, 3, 8, dtype=np.float32)
T = torch.from_numpy(X.copy())
WIDE = FloatFormat(name="wide", exponent_bits=11, mantissa_bits=20, bias=1023)
FAR = FloatFormat(name="far", exponent_bits=8, mantissa_bits=12, bias=3)


def read_only() -> np.ndarray:
    out = np.empty_like(X)
    out.flags.writeable = False
    return out


CASES: dict[str, tuple[Callable[[], Any], str]] = {
    "rounding nearest": (
        lambda: fpsim.quantize(X, "e4m3", rounding="nearest"),
        "'nearest' does not say what happens to ties; choose ties-to-even",
    ),
    "rounding typo": (lambda: fpsim.quantize(X, "e4m3", rounding="ties-to-evn"), "Did you mean 'ties-to-even'"),
    "stochastic without a seed": (
        lambda: fpsim.quantize(X, "e4m3", rounding="stochastic"),
        "stochastic rounding needs a seed",
    ),
    "a seed for nothing": (lambda: fpsim.quantize(X, "e4m3", seed=1), "belong to stochastic rounding"),
    "too many random bits": (
        lambda: fpsim.quantize(X, "e4m3", rounding="stochastic", seed=1, random_bits=25),
        "random_bits is 25; stochastic rounding takes 1 to 24",
    ),
    "a seed that is no integer": (
        lambda: fpsim.quantize(X, "e4m3", rounding="stochastic", seed=True),
        "seed is True; an integer is needed",
    ),
    "a seed that cannot be printed": (
        lambda: fpsim.quantize(X, "e4m3", rounding="stochastic", seed=10**5000),
        r"seed is negative or too large \(16610 bits wide\)",
    ),
    "special without a code": (
        lambda: fpsim.quantize(X, "e2m1", overflow="special"),
        "e2m1 has neither Inf nor NaN, so overflow 'special' has no code to give; choose saturate",
    ),
    "a preset and a policy": (
        lambda: fpsim.quantize(X, "e4m3", overflow="special", preset="ml_dtypes"),
        "preset 'ml_dtypes' names all policies",
    ),
    "overflow": (lambda: fpsim.quantize(X, "e4m3", overflow="wrap"), "overflow 'wrap' is not available"),
    "backend": (lambda: fpsim.quantize(X, "e4m3", backend="cuda"), "no backend 'cuda'; there are numba, numpy, torch"),
    "format": (lambda: fpsim.quantize(X, "e4m33"), "'e4m33' has 4 exponent and 33 mantissa bits"),
    "format typo": (lambda: fpsim.quantize(X, "mxpf4"), "unknown format 'mxpf4'. Did you mean 'mxfp4'?"),
    "list": (lambda: fpsim.quantize([1.0, 2.0], "e4m3"), "an array or a tensor is needed, not list"),
    "number": (lambda: fpsim.quantize(1.0, "e4m3"), "not float; wrap numbers in numpy.asarray"),
    "integers": (lambda: fpsim.quantize(np.arange(3), "e4m3"), "values of type int64 cannot be rounded"),
    "complex": (lambda: fpsim.quantize(np.ones(3, complex), "e4m3"), "values of type complex128 cannot be rounded"),
    "integer tensor": (lambda: fpsim.quantize(torch.arange(3), "e4m3"), "values of type torch.int64 cannot be rounded"),
    "encode integers": (lambda: fpsim.encode(np.arange(3), "e4m3"), "values of type int64 cannot be rounded"),
    "out shape": (
        lambda: fpsim.quantize(X, "e4m3", out=np.empty((2, 4), np.float32)),
        r"out has shape \(2, 4\), but x has \(8,\); they must be equal",
    ),
    "out shape of a tensor": (
        lambda: fpsim.quantize(T, "mxfp4", out=torch.empty(9)),
        r"out has shape \(9,\), but x has \(8,\)",
    ),
    "out of another library": (
        lambda: fpsim.quantize(X, "e4m3", out=torch.empty(8)),
        "out is a Tensor, but x is a ndarray; both must be of one library",
    ),
    "out of NumPy for a tensor": (lambda: fpsim.quantize(T, "e4m3", out=X.copy()), "out is a ndarray"),
    "out is a list": (lambda: fpsim.quantize(X, "e4m3", out=[0.0] * 8), "out is a list"),
    "out of integers": (lambda: fpsim.quantize(X, "e4m3", out=np.empty(8, np.int32)), "out type int32 is not one of"),
    "out read-only": (lambda: fpsim.quantize(X, "e4m3", out=read_only()), "out is read-only"),
    "out and out_dtype": (
        lambda: fpsim.quantize(X, "e4m3", out=X.copy(), out_dtype=np.float64),
        "out has a type of its own, so out_dtype cannot be given with it",
    ),
    "out_dtype": (lambda: fpsim.quantize(X, "e4m3", out_dtype=np.int8), "is not one of NumPy's float16, bfloat16"),
    "out_dtype unknown": (lambda: fpsim.quantize(X, "e4m3", out_dtype="float33"), "out type float33 is not one of"),
    "out_dtype for a tensor": (lambda: fpsim.quantize(T, "e4m3", out_dtype="float32"), "is not one of torch's float16"),
    "too wide for float32": (lambda: fpsim.quantize(X, WIDE), "wide is wider than float32; give float64 values"),
    "beyond float32": (lambda: fpsim.quantize(X, FAR), "far reaches beyond float32 and is too wide for a table"),
    "NaN code": (
        lambda: fpsim.encode(np.array([1, np.nan], np.float32), "e2m1"),
        r"the value at \(1,\) is NaN, but e2m1 has no NaN code; choose a format with NaN",
    ),
    "NaN code of a codebook": (lambda: fpsim.encode(np.array([np.nan]), "nf4"), "nf4 has no NaN code"),
    "NaN code of an integer": (lambda: fpsim.encode(np.array([np.nan]), "int8"), "int8 has no NaN code"),
    "NaN code of a block": (lambda: fpsim.encode(np.array([np.nan]), "mxfp4"), "e2m1 has no NaN code"),
    "codes of 64 bits": (
        lambda: fpsim.encode(np.ones(3), exact.BINARY64),
        "codes of 64 bits are not available",
    ),
    "code that does not exist": (
        lambda: fpsim.decode(encoded_with(np.array([3, 16], np.uint8), "e2m1")),
        "code 16 does not exist in e2m1, which has 16 codes",
    ),
    "codebook index": (
        lambda: fpsim.decode(encoded_with(np.array([2], np.uint8), [0.0, 1.0])),
        "code 2 does not exist in codebook, which has 2 codes",
    ),
    "scales missing": (
        lambda: fpsim.decode(encoded_with(np.zeros(32, np.uint8), "mxfp4")),
        "codes of mxfp4 need the codes of their scales",
    ),
    "bytes that do not fit": (
        lambda: fpsim.unpack(np.zeros(3, np.uint8), fpsim.encode(X, "e2m1")),
        "3 bytes cannot hold 8 codes of 4 bits: 4 would",
    ),
}


def encoded_with(codes: np.ndarray, name: Any) -> Encoded:
    return Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fpsim.format(name))


@pytest.mark.parametrize(("call", "message"), CASES.values(), ids=CASES)
def test_one_line_says_what_is_wrong(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(fpsim.FpsimError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("twin", TWINS)
def test_a_refused_call_writes_nothing(twin: str) -> None:
    out = np.full((2, 40), 7, np.float32)
    with pytest.raises(fpsim.FpsimError):
        fpsim.quantize(np.ones((2, 40), np.float32), "mxfp4", strict=True, out=out, backend=twin)
    with pytest.raises(fpsim.FpsimError):
        fpsim.quantize(np.ones((2, 41), np.float32), "e4m3", out=out, backend=twin)
    assert (out == 7).all()


@pytest.mark.parametrize("twin", TWINS)
def test_ordinary_calls_warn_of_nothing(twin: str, recwarn: pytest.WarningsRecorder) -> None:
    with np.errstate(over="ignore", under="ignore"):
        x = np.array([0, -0.0, 1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan] * 8, np.float32)
    finite = np.nan_to_num(x)
    for name in ("e4m3", "e3m0", "int8", "nf4", "mxfp4", "mxint8-rceil", "nvfp4"):
        fpsim.quantize(x, name, backend=twin)
        fpsim.quantize(x.astype(np.float64), name, out_dtype=np.float16, backend=twin)
        fpsim.decode(fpsim.encode(finite, name))
    fpsim.quantize(x, fpsim.format("e4m3", bias=6.4), backend=twin)
    assert [str(w.message) for w in recwarn] == []
