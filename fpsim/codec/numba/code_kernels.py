"""Parallel loops of encoding and decoding; arrays and tasks as in :mod:`fpsim.codec.numba.kernels`.

Each task notes what it saw (NaN, or the bits of all its codes), so that a mistake is looked for only where one is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numba import njit, prange

from fpsim.codec.numba.code_ops import decode_block, decode_one, encode_block, encode_one, or_code, or_nan
from fpsim.codec.numba.kernels import CHUNK


@lru_cache(maxsize=32)
def encoder(kind, signs, multiplies=False):
    """A kernel ``(x, codes, scale, seen, constants)``: codes of ``x / scale``, the scale one a row or one for all.

    Where it ``multiplies``, the scale is the inverse, which must be exact.
    """
    code_of, looks = encode_one(kind, signs), not signs.endswith("-nan")

    @njit(parallel=True)
    def kernel(x, codes, scale, seen, constants):
        rows, columns = x.shape
        chunks = (columns + CHUNK - 1) // CHUNK
        for task in prange(rows * chunks):
            r = task // chunks
            first = (task % chunks) * CHUNK
            source, target = x[r, first : first + CHUNK], codes[r, first : first + CHUNK]
            s, flag = scale[r % scale.shape[0], 0], np.int32(0)
            for k in range(source.size):
                t = source[k] * s if multiplies else source[k] / s
                if looks:
                    flag = or_nan(flag, t)
                target[k] = code_of(t, constants)
            seen[task] = flag

    return kernel


@lru_cache(maxsize=32)
def column_encoder(kind, signs):
    """:func:`encoder` with a scale for each column of a row, or of all rows."""
    code_of = encode_one(kind, signs)

    @njit(parallel=True)
    def kernel(x, codes, scale, seen, constants):
        rows, columns = x.shape
        chunks = (columns + CHUNK - 1) // CHUNK
        for task in prange(rows * chunks):
            r = task // chunks
            first = (task % chunks) * CHUNK
            source, target = x[r, first : first + CHUNK], codes[r, first : first + CHUNK]
            factors, flag = scale[r % scale.shape[0], first : first + CHUNK], np.int32(0)
            for k in range(source.size):
                t = source[k] / factors[k]
                flag = or_nan(flag, t)
                target[k] = code_of(t, constants)
            seen[task] = flag

    return kernel


@lru_cache(maxsize=64)
def block_encoder(block, kind, signs):
    """:func:`encoder` for rows of a compile-time length, a multiple of 16, with a scale each; all arrays flat."""
    code_block = encode_block(block, kind, signs)

    @njit(parallel=True)
    def kernel(x, codes, scale, seen, constants):
        span = max(1, CHUNK // block)
        for task in prange((scale.size + span - 1) // span):
            flag = np.int32(0)
            for b in range(task * span, min(scale.size, (task + 1) * span)):
                flag |= code_block(x, codes, b * block, scale[b], constants)
            seen[task] = flag

    return kernel


_shifted = encode_one("linear", "none")


@njit(parallel=True)
def zero_point_encoder(x, codes, scale, seen, lo, hi, offset, mask):
    """Integers with bounds and zero points of the scale's shape: ``clamp(rint(x / s), lo, hi) + offset``."""
    rows, columns = x.shape
    chunks = (columns + CHUNK - 1) // CHUNK
    for task in prange(rows * chunks):
        r = task // chunks
        row, first = r % scale.shape[0], (task % chunks) * CHUNK
        source, target = x[r, first : first + CHUNK], codes[r, first : first + CHUNK]
        flag = np.int32(0)
        if scale.shape[1] == 1:
            s, constants = scale[row, 0], (lo[row, 0], hi[row, 0], offset[row, 0], mask)
            for k in range(source.size):
                t = source[k] / s
                flag = or_nan(flag, t)
                target[k] = _shifted(t, constants)
        else:
            for k in range(source.size):
                j = first + k
                t = source[k] / scale[row, j]
                flag = or_nan(flag, t)
                target[k] = _shifted(t, (lo[row, j], hi[row, j], offset[row, j], mask))
        seen[task] = flag


@lru_cache(maxsize=16)
def decoder(kind, narrow):
    """A kernel ``(codes, y, scale, zero, seen, constants)``: ``y = value · scale + zero``; scales as in encoder."""
    value_of = decode_one(kind, narrow)

    @njit(parallel=True)
    def kernel(codes, y, scale, zero, seen, constants):
        rows, columns = codes.shape
        chunks = (columns + CHUNK - 1) // CHUNK
        for task in prange(rows * chunks):
            r = task // chunks
            first = (task % chunks) * CHUNK
            source, target = codes[r, first : first + CHUNK], y[r, first : first + CHUNK]
            s, bits = scale[r % scale.shape[0], 0], np.int32(0)
            for k in range(source.size):
                bits = or_code(bits, source[k])
                target[k] = value_of(source[k], constants) * s + zero
            seen[task] = bits

    return kernel


@lru_cache(maxsize=64)
def block_decoder(block, kind):
    """:func:`decoder` for rows of a compile-time length, a multiple of 16, with a scale each; all arrays flat."""
    value_block = decode_block(block, kind)

    @njit(parallel=True)
    def kernel(codes, y, scale, zero, seen, constants):
        span = max(1, CHUNK // block)
        for task in prange((scale.size + span - 1) // span):
            bits = np.int32(0)
            for b in range(task * span, min(scale.size, (task + 1) * span)):
                bits |= value_block(codes, y, b * block, scale[b], zero, constants)
            seen[task] = bits

    return kernel
