"""Parallel loops over rows and chunks around the emitted roundings.

Arrays are C-contiguous ``[rows, columns]``; a scale is ``[rows or 1, columns or 1]``. Each chunk is one task, so
that results do not depend on the number of threads (nothing is reduced).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, prange

from fpsim.codec.numba.ops import float_of, round_block, round_integer, round_linear, round_magic, top_bits

#: Elements a task: long enough to hide the fork, short enough for both cores to share a small tensor.
CHUNK = 1 << 14


@njit(inline="always")
def magic_element(t, p):
    return round_magic(t, p[0], p[1], p[2])


@njit(inline="always")
def integer_element(t, p):
    return round_integer(t, p[0], p[1], p[2], p[3], p[4])


@njit(inline="always")
def table_element(t, p):
    thresholds, values, keep_sign, nan = p
    if np.isnan(t):
        return nan
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


magic = _elementwise(magic_element)
integer = _elementwise(integer_element)
_table = _elementwise(table_element)


@njit
def table(x, y, scale, p):
    """The table formulation by binary search."""
    _table(x, y, scale, x.dtype.type(-0.0), p)


#: Up to this many values a comparison with each threshold, in SIMD lanes, is faster than a binary search.
FEW = 64


@njit(parallel=True)
def small_table(x, y, scale, p):
    """The table formulation for few values: every element passes each threshold in turn."""
    thresholds, values, keep_sign, nan = p
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        r = task // chunks
        first = (task % chunks) * CHUNK
        source, target = x[r, first : first + CHUNK], y[r, first : first + CHUNK]
        factors = scale[r % scale.shape[0]]
        t, s = np.empty(source.size, x.dtype), np.empty(source.size, x.dtype)
        for k in range(source.size):
            s[k] = factors[0] if factors.size == 1 else factors[first + k]
        for k in range(source.size):
            t[k] = source[k] / s[k]
            target[k] = values[0]
        for j in range(1, values.size):
            threshold, value = thresholds[j], values[j]
            for k in range(source.size):
                target[k] = value if t[k] >= threshold else target[k]
        for k in range(source.size):
            g = np.copysign(target[k], t[k]) if keep_sign and target[k] == 0 else target[k]
            target[k] = (nan if np.isnan(t[k]) else g) * s[k]


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


@lru_cache(maxsize=64)
def block_amax(block):
    """A function ``(x, start)``: the largest magnitude of ``block`` elements from ``start``; NaN is ignored.

    ``block`` is a multiple of 16.
    """
    top_of = top_bits(block)

    @njit(inline="always")
    def amax_of(x, start):
        top = float_of(top_of(x, start))
        if np.isnan(top):  # rare: look again without the NaN
            top = x.dtype.type(0)
            for k in range(start, start + block):
                top = max(top, abs(x[k])) if x[k] == x[k] else top
        return top

    return amax_of


@lru_cache(maxsize=64)
def amax_kernel(block):
    """A kernel ``(x, result)``: the largest magnitude of each block of a flat array; NaN is ignored."""
    amax_of = block_amax(block)

    @njit(parallel=True)
    def kernel(x, result):
        for b in prange(x.size // block):
            result[b] = amax_of(x, b * block)

    return kernel


#: Blocks a group: their scales are computed together, in SIMD lanes, while the elements stay in the first-level cache.
GROUP = 32
#: Groups a task: enough that the first group's reads, which nothing hides, do not count.
GROUPS = 64


@lru_cache(maxsize=64)
def blocks_kernel(block, scale_of, elements):
    """A kernel for blocks of a compile-time size: amax, scale and rounding in one pass over memory.

    ``scale_of(amax, limits)`` is a compiled scale rule: the scale and its inverse, which counts only where
    ``elements`` is ``multiply``; the others are ``divide`` and ``linear`` (integers).
    The kernel takes flat arrays whose size is a multiple of the block.
    """
    amax_of, round_one = block_amax(block), round_block(block, elements)

    @njit(parallel=True)
    def kernel(x, y, limits, own, inverse_own, constants):
        blocks, span = x.size // block, GROUP * GROUPS
        for task in prange((blocks + span - 1) // span):
            last = min(blocks, (task + 1) * span)
            amax, scale, inverse = np.empty(GROUP, x.dtype), np.empty(GROUP, x.dtype), np.empty(GROUP, x.dtype)
            for first in range(task * span, last, GROUP):
                count = min(GROUP, last - first)
                if first == task * span:
                    for b in range(count):
                        amax[b] = amax_of(x, (first + b) * block)
                for b in range(count):
                    s, exact_inverse = scale_of(amax[b], limits)
                    scale[b] = s * own
                    inverse[b] = exact_inverse * inverse_own
                # The next group's reads from memory run beside this group's arithmetic and writes.
                ahead = min(GROUP, last - first - count)
                for b in range(ahead):
                    amax[b] = amax_of(x, (first + GROUP + b) * block)
                    round_one(x, y, (first + b) * block, scale[b], inverse[b], constants)
                for b in range(ahead, count):
                    round_one(x, y, (first + b) * block, scale[b], inverse[b], constants)

    return kernel
