"""Rounding modes on arrays: 16-bit types, scales, zero points, layouts and destinations."""

from __future__ import annotations

from itertools import product
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from codec_cases import TWINS
from codec_mode_cases import by_name, by_twin, conversion, possible
from codec_mode_oracle import expected_by_mode
from codec_oracle import differences, saturated

import fpsim
from fpsim.number.conversion import Conversion, Rounding

HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
each_twin = pytest.mark.parametrize("twin", TWINS)


@each_twin
@pytest.mark.parametrize("name", ["e4m3", "e5m2", "int8", "e8m3"])
def test_sixteen_bit_inputs_are_rounded_once(name: str, twin: str) -> None:
    fmt = fpsim.format(name)
    patterns = np.arange(0, 1 << 16, 61, dtype=np.uint16)
    modes = tuple(Rounding) if twin != "numba" else ("to-odd", "toward-negative", "stochastic")
    policy = "special" if possible(fmt, [conversion("to-odd", "special")]) else "saturate"
    for dtype, how in product(HALVES, [conversion(mode, policy) for mode in modes]):
        x = patterns.view(dtype)
        wide = expected_by_mode(fmt, x.astype(np.float32), how)
        wanted = np.where(np.isinf(wide), np.copysign(dtype.type(np.inf), wide), saturated(wide, dtype)).astype(dtype)
        assert not differences(by_name(twin, x, fmt, how), wanted, x), how
        kind = torch.float16 if dtype == np.float16 else torch.bfloat16
        tensor = by_name(twin, torch.from_numpy(patterns.view(np.int16)).view(kind), fmt, how)
        assert tensor.dtype == kind
        assert not differences(tensor.view(torch.int16).numpy().view(dtype), wanted, x), how


#: Enough modes for one kernel of each kind to meet scales; the rounding itself is tested above.
SCALED = [conversion(m, o, bits=11) for o, m in product(("special", "saturate"), ("toward-negative", "stochastic"))]


@each_twin
@pytest.mark.parametrize("shape", [(7, 1), (1, 33), (7, 33)], ids=str)
def test_one_scale_a_row_and_one_scale_a_column(shape: tuple[int, int], twin: str) -> None:
    rng = np.random.default_rng(5)
    dtypes = (np.float32, np.float64) if twin != "numba" else (np.float32,)
    for fmt, dtype in product(map(fpsim.format, ("e4m3", "e5m2", "int8", "nf4")), dtypes):
        scale = rng.uniform(0.3, 3, shape).astype(dtype)
        x = rng.normal(size=(7, 33)).astype(dtype) * dtype(float(fmt.max) / 2)
        x[2, 3], x[1, 1], x[0, 0] = np.nan, -0.0, -np.inf
        for how in possible(fmt, SCALED)[:2]:
            wanted = expected_by_mode(fmt, x, how, scale)
            assert not differences(by_twin(twin, scale)(x, fmt, how), wanted, x), f"{fmt.name}, {how}"


@each_twin
@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 61)], ids=str)
def test_zero_points_shift_the_bounds_only(shape: tuple[int, int], twin: str) -> None:
    """Toward zero is toward the number 0, and odd are the odd multiples of the scale."""
    rng, modes = (
        np.random.default_rng(3),
        tuple(Rounding) if twin != "numba" else ("to-odd", "stochastic"),
    )
    for bits, mode, nan in product((2, 8), modes, ("keep", "max", "zero")):
        fmt, how = fpsim.format(f"uint{bits}"), conversion(mode, nan=nan, bits=9)
        s = rng.uniform(0.01, 2, shape).astype(np.float32)
        z = rng.integers(0, fmt.hi + 1, shape).astype(np.float32)
        x = (rng.normal(size=(5, 61)) * fmt.hi * s).astype(np.float32)
        x[0, :3] = (np.nan, np.inf, -np.inf)
        # The integers of 12 bits hold every multiple of the scale that the bounds leave.
        wide = expected_by_mode(fpsim.format("int12"), (x / s).astype(np.float32), how)
        wanted = np.clip(wide, -z, fmt.hi - z) * s + np.float32(0)
        if nan == "max":
            wanted = np.where(np.isnan(x), (fmt.hi - z) * s, wanted)
        assert not differences(by_twin(twin, s, z)(x, fmt, how), wanted.astype(np.float32), x), how


LAYOUTS = [conversion("toward-positive", "special"), conversion("stochastic", "special", bits=13)]


def views(x: np.ndarray) -> list[Any]:
    """The same numbers in other layouts, as arrays and as tensors."""
    spaced = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    spaced[::2, ::3] = x
    arrays = [np.asfortranarray(x), spaced[::2, ::3], x[::-1, ::-1].copy()[::-1, ::-1]]
    tensor, wide = torch.from_numpy(x), torch.zeros(x.shape[0], 2 * x.shape[1])
    wide[:, ::2] = tensor
    return [*arrays, tensor.t().contiguous().t(), wide[:, ::2]]


@each_twin
@pytest.mark.parametrize("how", LAYOUTS, ids=str)
@pytest.mark.parametrize("name", ["e4m3", "e5m2"])
def test_layout_and_destination_change_nothing(name: str, how: Conversion, twin: str) -> None:
    """Random bits follow the index in C order, wherever the number lies in memory."""
    fmt = fpsim.format(name)
    x = (np.random.default_rng(2).normal(size=(12, 40)) * 200).astype(np.float32)
    wanted = expected_by_mode(fmt, x, how)
    for view in views(x):
        y = by_name(twin, view, fmt, how)
        assert not differences(np.ascontiguousarray(y), wanted, x)
        assert not differences(np.ascontiguousarray(by_name(twin, view, fmt, how, out=view)), wanted, x)
    deep = by_name(twin, x.reshape(3, 2, 2, 40), fmt, how)
    assert not differences(deep.reshape(x.shape), wanted, x)
    in_place = x.copy()
    assert by_name(twin, in_place, fmt, how, out=in_place) is in_place
    assert not differences(in_place, wanted, x)
