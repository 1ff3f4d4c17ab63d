"""Parallel loops between numbers and codes by tables; arrays and tasks as in :mod:`fpsim.codec.numba.code_kernels`."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from fpsim.codec.numba.code_ops import or_nan
from fpsim.codec.numba.kernels import CHUNK


@njit(parallel=True)
def small_table(x, codes, scale, seen, thresholds, found, negative_zero, nan_code):
    """Codes by few thresholds: every element passes each in turn. ``found`` and the last two have the codes' type."""
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        r = task // chunks
        first = (task % chunks) * CHUNK
        source, target = x[r, first : first + CHUNK], codes[r, first : first + CHUNK]
        factors = scale[r % scale.shape[0]]
        t = np.empty(source.size, x.dtype)
        for k in range(source.size):
            t[k] = source[k] / (factors[0] if factors.size == 1 else factors[first + k])
            target[k] = found[0]
        for j in range(1, found.size):
            threshold, code = thresholds[j], found[j]
            for k in range(source.size):
                target[k] = code if t[k] >= threshold else target[k]
        flag = np.int32(0)
        for k in range(source.size):
            flag = or_nan(flag, t[k])
            target[k] = negative_zero if target[k] == 0 and np.signbit(t[k]) else target[k]
            target[k] = nan_code if np.isnan(t[k]) else target[k]
        seen[task] = flag


@njit(parallel=True)
def table(x, codes, scale, seen, thresholds, found, negative_zero, nan_code):
    """:func:`small_table` by binary search."""
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        r = task // chunks
        first = (task % chunks) * CHUNK
        source, target = x[r, first : first + CHUNK], codes[r, first : first + CHUNK]
        factors, flag = scale[r % scale.shape[0]], np.int32(0)
        for k in range(source.size):
            t = source[k] / (factors[0] if factors.size == 1 else factors[first + k])
            flag = or_nan(flag, t)
            code = found[np.searchsorted(thresholds, t, side="right") - 1]
            code = negative_zero if code == 0 and np.signbit(t) else code
            target[k] = nan_code if np.isnan(t) else code
        seen[task] = flag


@njit(parallel=True)
def lookup(codes, y, scale, zero_point, zero, values):
    """``y = (values[code] − zero_point) · scale + zero``, with scales and zero points of any of their shapes."""
    rows, columns = codes.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        r = task // chunks
        first = (task % chunks) * CHUNK
        source, target = codes[r, first : first + CHUNK], y[r, first : first + CHUNK]
        factors, points = scale[r % scale.shape[0]], zero_point[r % zero_point.shape[0]]
        if factors.size == 1:
            s, z = factors[0], points[0]
            for k in range(source.size):
                target[k] = (values[source[k]] - z) * s + zero
        else:
            for k in range(source.size):
                target[k] = (values[source[k]] - points[first + k]) * factors[first + k] + zero
