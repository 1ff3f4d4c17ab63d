"""Each twin equals the exact reference bit for bit."""

from __future__ import annotations

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from codec_cases import NARROW, TWINS, WIDE, WIDEST, ids
from codec_oracle import differences, directed, expected, expected_codes, saturated, used_codes

import fpsim
from fpsim.codec.encoded import Encoded
from fpsim.codec.protocol import backend
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, exact

#: No power of two, and no number of few bits.
SCALE = 0.0123
PATTERNS = np.arange(1 << 16, dtype=np.uint16)


def rounded(twin: str, x: np.ndarray, fmt: ElementFormat, scale: np.ndarray | float = 1.0) -> np.ndarray:
    """What a twin makes of ``[rows, columns]`` by the protocol; the format's own scale is multiplied in."""
    own = x.dtype.type(fmt.scale(8 * x.dtype.itemsize))
    s = np.broadcast_to(np.asarray(scale, x.dtype) * own, np.broadcast_shapes(np.shape(scale), (1, 1))).copy()
    out = np.empty_like(x)
    arrays = (x, s, out)
    if twin == "torch":
        arrays = tuple(torch.from_numpy(a) for a in arrays)
    backend(twin).quantize(arrays[0], fmt, arrays[1], arrays[2])
    return out


@pytest.mark.parametrize("fmt", NARROW, ids=ids)
def test_every_code_is_its_own_rounding(fmt: ElementFormat) -> None:
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    codes = np.arange(count).astype(np.uint8 if fmt.bits <= 8 else np.uint16)
    own_rounding = np.array([c in used_codes(fmt) and canonical(fmt, c) for c in range(count)])
    encoded = Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fmt)
    for dtype in (np.float32, np.float64):
        values, grid = fpsim.decode(encoded, dtype=dtype), grid_of_reference(fmt, count, dtype)
        assert not differences(values, grid * dtype(fmt.scale(8 * values.itemsize)), codes)
        kept = values[own_rounding]
        for twin in TWINS:
            assert not differences(fpsim.quantize(kept, fmt, backend=twin), kept, codes)
        if np.all(np.diff(np.sort(grid[own_rounding & (grid > 0)])) > 0):  # else binary32 merges some
            assert np.array_equal(fpsim.encode(kept, fmt).codes, codes[own_rounding])


def grid_of_reference(fmt: ElementFormat, count: int, dtype: type[np.floating]) -> np.ndarray:
    """The values of all codes before the format's own scale, Inf and NaN included, saturating where finite."""
    wide = np.array([float(exact.decode(fmt.grid, c, width=64)) for c in range(count)])
    return np.where(np.isinf(wide), wide, saturated(wide, np.dtype(dtype))).astype(dtype)


def canonical(fmt: ElementFormat, code: int) -> bool:
    """Whether encoding can give the code: not Inf, and of all NaN only the format's own."""
    if not isinstance(fmt, FloatFormat):
        return True
    value = float(exact.decode(fmt, code, width=64))
    return code == fmt.nan_code if np.isnan(value) else bool(np.isfinite(value))


@pytest.mark.parametrize("fmt", NARROW, ids=ids)
def test_values_and_middles_with_their_neighbours(fmt: ElementFormat) -> None:
    for dtype, scale in product((np.float32, np.float64), (1.0, SCALE)):
        x = directed(fmt, dtype, scale)[None]
        wanted = expected(fmt, x, scale)
        for twin in TWINS:
            assert not differences(rounded(twin, x, fmt, scale), wanted, x), f"{twin}, {x.dtype}, scale {scale}"


@pytest.mark.parametrize("fmt", NARROW, ids=ids)
def test_codes_are_those_of_the_reference(fmt: ElementFormat) -> None:
    for dtype in (np.float32, np.float64):
        x = directed(fmt, dtype)
        own = dtype(fmt.scale(8 * np.dtype(dtype).itemsize))
        with np.errstate(over="ignore"):
            wanted = expected_codes(fmt, x / own)
        if -1 in wanted:
            with pytest.raises(fpsim.FpsimError, match="no NaN code"):
                fpsim.encode(x, fmt)
        known = wanted >= 0
        assert np.array_equal(fpsim.encode(x[known], fmt).codes, wanted[known])


@pytest.mark.parametrize("fmt", [f for f in (*NARROW[::5], *WIDE) if f.max < 2**120], ids=ids)
def test_one_scale_a_row_and_one_scale_a_column(fmt: ElementFormat) -> None:
    rng = np.random.default_rng(5)
    for dtype in (np.float32, np.float64):
        x = rng.normal(size=(7, 33)).astype(dtype) * dtype(float(fmt.max) / 4)
        x[2, 3], x[1, 1], x[0, 0] = np.nan, -0.0, -np.inf
        for shape in ((7, 1), (1, 33), (7, 33)):
            scale = rng.uniform(0.3, 3, shape).astype(dtype)
            wanted = expected(fmt, x, scale)
            for twin in TWINS:
                assert not differences(rounded(twin, x, fmt, scale), wanted, x), f"{twin}, {shape}"


@pytest.mark.parametrize("fmt", [*NARROW, *WIDE, WIDEST], ids=ids)
def test_all_float16_and_bfloat16_inputs(fmt: ElementFormat) -> None:
    for dtype in (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)):
        x = PATTERNS.view(dtype)
        wanted = saturated(expected(fmt, x.astype(np.float32)), dtype)
        for twin in TWINS:
            assert not differences(fpsim.quantize(x, fmt, backend=twin), wanted, x), f"{twin}, {dtype.name}"


@pytest.mark.parametrize("fmt", [*NARROW[::4], *WIDE], ids=ids)
def test_all_float16_and_bfloat16_inputs_as_tensors(fmt: ElementFormat) -> None:
    for kind, dtype in ((torch.float16, np.dtype(np.float16)), (torch.bfloat16, np.dtype(ml_dtypes.bfloat16))):
        x = torch.from_numpy(PATTERNS.view(np.int16)).view(kind)
        wanted = saturated(expected(fmt, PATTERNS.view(dtype).astype(np.float32)), dtype)
        for twin in TWINS:
            y = fpsim.quantize(x, fmt, backend=twin)
            assert y.dtype == kind
            bits = y.view(torch.int16).numpy().view(dtype)
            assert not differences(bits, wanted, PATTERNS.view(dtype)), f"{twin}, {kind}"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", ["tf32", "binary32", "e8m11-test"])
def test_formats_too_wide_for_a_table(name: str, twin: str) -> None:
    fmt = (
        FloatFormat(name=name, exponent_bits=8, mantissa_bits=11, bias=127.4, specials="ieee")
        if name == "e8m11-test"
        else fpsim.format(name)
    )
    rng = np.random.default_rng(11)
    for dtype, width in ((np.float32, 32), (np.float64, 64)):
        x = rng.integers(0, 1 << width, 40, np.uint64).astype(f"u{width // 8}").view(dtype)
        x = np.concatenate([x, np.array([0.0, -0.0, 1e-40, -1e-45, 3.4e38, np.inf, np.nan, 1 + 2**-11], dtype)])
        wanted = np.array([exact.quantize(fmt, float(v), width=width) for v in x], dtype)
        assert not differences(rounded(twin, x[None], fmt)[0], wanted, x)


def random_zero_points(rng: np.random.Generator, fmt: Any, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(0, fmt.hi + 1, shape).astype(np.float32)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 301)])
def test_zero_points_shift_the_bounds(bits: int, shape: tuple[int, int], twin: str) -> None:
    fmt, rng = fpsim.format(f"uint{bits}"), np.random.default_rng(bits)
    s = rng.uniform(0.01, 2, shape).astype(np.float32)
    z = random_zero_points(rng, fmt, shape)
    x = (rng.normal(size=(5, 301)) * fmt.hi * s).astype(np.float32)
    x[0, :3] = (np.nan, np.inf, -np.inf)
    t = (x / s).astype(np.float64)
    wanted = (np.clip(np.rint(t) + z, 0, fmt.hi) - z).astype(np.float32) * s + np.float32(0)
    out = np.empty_like(x)
    arrays: tuple[Any, ...] = (x, s, out, z)
    if twin == "torch":
        arrays = tuple(torch.from_numpy(a) for a in arrays)
    backend(twin).quantize(arrays[0], fmt, arrays[1], arrays[2], arrays[3])
    assert not differences(out, wanted, x)
