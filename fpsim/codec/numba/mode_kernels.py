"""Parallel loops for every rounding mode; shapes and chunks as in :mod:`fpsim.codec.numba.kernels`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, prange

from fpsim.codec.numba.kernels import CHUNK
from fpsim.codec.numba.mode_ops import keys, random_threshold, round_linear, round_mode
from fpsim.number.conversion import Rounding

_NONE = np.int32(0)


@lru_cache(maxsize=64)
def float_kernel(mode, overflow):
    """A kernel ``(x, y, scale, lo, hi, p, random)`` for float formats, whose bounds do not count."""
    operation = round_mode(mode, overflow)

    @njit(inline="always")
    def rounding(t, low, high, p, threshold):
        return operation(t, p, threshold)

    return _kernel(rounding, mode is Rounding.STOCHASTIC)


@lru_cache(maxsize=16)
def linear_kernel(mode):
    """The same for integers: ``lo`` and ``hi`` have the scale's shape; ``p`` is (nan, 2^random_bits, nan_is_hi)."""
    operation = round_linear(mode)

    @njit(inline="always")
    def rounding(t, low, high, p, threshold):
        nan = high if p[2] else p[0]
        return operation(t, low, high, nan, p[1], threshold)

    return _kernel(rounding, mode is Rounding.STOCHASTIC)


def _kernel(rounding, random):
    """``y = s · rounding(x / s) + zero``; ``random`` is (seed, shift, steps)."""
    piece = _random_piece(rounding) if random else _piece(rounding)

    @njit(parallel=True)
    def kernel(x, y, scale, lo, hi, zero, p, random):
        rows, columns = x.shape
        chunks = (columns + CHUNK - 1) // CHUNK
        for task in prange(rows * chunks):
            r = task // chunks
            first = (task % chunks) * CHUNK
            last = min(columns, first + CHUNK)
            row = r % scale.shape[0]
            each = scale.shape[1] > 1
            start = r * columns + first
            # Random bits have new keys where an index passes a multiple of 2^32.
            cut = first + min(last - first, (((start >> 32) + 1) << 32) - start)
            for left, right in ((first, cut), (cut, last)):
                part = slice(left, right) if each else slice(0, 1)
                bounds = scale[row, part], lo[row, part], hi[row, part]
                piece(x[r, left:right], y[r, left:right], bounds, zero, p, random, start + left - first)

    return kernel


def _piece(rounding):
    @njit
    def piece(x, y, bounds, zero, p, random, start):
        scale, lo, hi = bounds
        if scale.size == 1:
            s, low, high = scale[0], lo[0], hi[0]
            for k in range(x.size):
                y[k] = rounding(x[k] / s, low, high, p, _NONE) * s + zero
        else:
            for k in range(x.size):
                y[k] = rounding(x[k] / scale[k], lo[k], hi[k], p, _NONE) * scale[k] + zero

    return piece


def _random_piece(rounding):
    @njit
    def piece(x, y, bounds, zero, p, random, start):
        scale, lo, hi = bounds
        seed, shift, steps = random
        key, second = keys(seed, start >> 32)
        if scale.size == 1:
            s, low, high = scale[0], lo[0], hi[0]
            for k in range(x.size):
                threshold = random_threshold(start + k, key, second, shift, steps)
                y[k] = rounding(x[k] / s, low, high, p, threshold) * s + zero
        else:
            for k in range(x.size):
                threshold = random_threshold(start + k, key, second, shift, steps)
                y[k] = rounding(x[k] / scale[k], lo[k], hi[k], p, threshold) * scale[k] + zero

    return piece
