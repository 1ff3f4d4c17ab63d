"""Parallel loops over rows and chunks around the emitted roundings.

Arrays are C-contiguous ``[rows, columns]``; a scale is ``[rows or 1, columns or 1]``. Each chunk is one task, so
that results do not depend on the number of threads (nothing is reduced).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from fpsim.codec.numba_ops import (
    LANES,
    round_integer,
    round_linear,
    round_magic,
    tile_amax,
    tile_round_linear,
    tile_round_magic,
)

#: Elements a task: long enough to hide the fork, short enough for both cores to share a small tensor.
CHUNK = 1 << 14


@njit(inline="always")
def _magic(t, p):
    return round_magic(t, p[0], p[1], p[2])


@njit(inline="always")
def _integer(t, p):
    return round_integer(t, p[0], p[1], p[2], p[3], p[4])


@njit(inline="always")
def _table(t, p):
    thresholds, values, keep_sign = p
    if np.isnan(t):
        return t
    value = values[np.searchsorted(thresholds, t, side="right") - 1]
    return np.copysign(value, t) if keep_sign and value == 0 else value


def _elementwise(rounding):
    """A kernel ``y = s · rounding(x / s) + zero``; adding −0.0 changes nothing, +0.0 turns −0 into +0."""

    @njit(parallel=True)
    def kernel(x, y, scale, zero, p):
        rows, columns = x.shape
        chunks = (columns + CHUNK - 1) // CHUNK
        for task in prange(rows * chunks):
            r = task // chunks
            first = (task % chunks) * CHUNK
            last = min(columns, first + CHUNK)
            source, target, factors = x[r, first:last], y[r, first:last], scale[r % scale.shape[0]]
            if factors.size == 1:
                s = factors[0]
                for k in range(source.size):
                    target[k] = rounding(source[k] / s, p) * s + zero
            else:
                part = factors[first:last]
                for k in range(source.size):
                    target[k] = rounding(source[k] / part[k], p) * part[k] + zero

    return kernel


magic = _elementwise(_magic)
integer = _elementwise(_integer)
table = _elementwise(_table)


@njit(parallel=True)
def linear(x, y, scale, lo, hi):
    """Integers with bounds of the scale's shape: ``y = s · rint(clamp(x / s, lo, hi))``."""
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        r = task // chunks
        first = (task % chunks) * CHUNK
        last = min(columns, first + CHUNK)
        source, target = x[r, first:last], y[r, first:last]
        row = r % scale.shape[0]
        if scale.shape[1] == 1:
            s, low, high = scale[row, 0], lo[row, 0], hi[row, 0]
            for k in range(source.size):
                target[k] = round_linear(source[k] / s, low, high) * s
        else:
            factors, lows, highs = scale[row, first:last], lo[row, first:last], hi[row, first:last]
            for k in range(source.size):
                target[k] = round_linear(source[k] / factors[k], lows[k], highs[k]) * factors[k]


@njit(parallel=True)
def amax(x, block, result):
    """Largest magnitude of each ``block`` consecutive elements of the flat array ``x``; NaN is ignored.

    ``block`` must be a multiple of 16 and divide the size of ``x``.
    """
    blocks = x.size // block
    tasks = (blocks + 511) // 512
    for task in prange(tasks):
        for b in range(task * 512, min(blocks, task * 512 + 512)):
            result[b] = tile_amax(x, b * block, block // LANES)


@njit(parallel=True)
def magic_blocks(x, y, block, scale_of, limits, zero, p):
    """Blocks of the flat array ``x``: amax, scale and rounding in one pass over memory.

    ``scale_of(amax, limits)`` is a compiled scale rule.
    """
    blocks = x.size // block
    tasks = (blocks + 255) // 256
    for task in prange(tasks):
        for b in range(task * 256, min(blocks, task * 256 + 256)):
            s = scale_of(tile_amax(x, b * block, block // LANES), limits)
            tile_round_magic(x, y, b * block, block // LANES, s, p[0], p[1], p[2], zero)


@njit(parallel=True)
def linear_blocks(x, y, block, scale_of, limits, lo, hi):
    """As :func:`magic_blocks` for integer elements."""
    blocks = x.size // block
    tasks = (blocks + 255) // 256
    for task in prange(tasks):
        for b in range(task * 256, min(blocks, task * 256 + 256)):
            s = scale_of(tile_amax(x, b * block, block // LANES), limits)
            tile_round_linear(x, y, b * block, block // LANES, s, lo, hi)
