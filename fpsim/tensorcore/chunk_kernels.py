"""The fused sums of FP4 with block scales, compiled: terms are exact sums of 16 products times two scales."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from fpsim.tensorcore.kernels import add_accumulator, start
from fpsim.tensorcore.lanes import add, largest, least, magnitude, mul, pick, sar, shl, shr, sub, xor
from fpsim.tensorcore.rounding import finish

i32, i64 = np.int32, np.int64
CHUNK, COLUMNS = 16, 64


@njit(parallel=True)
def chunk_matmul(sa, sb, za, ya, zb, yb, out, group, how):
    """Add products to an accumulator, group by group.

    Args:
        sa: significands of a [K, M]; sb: those of b [K, N].
        za: significands of the scales of a [blocks, M]; ya: their exponents; zb, yb: those of b [blocks, N].
        out: float32 patterns [M, N], the accumulator.
        group: products of one sum.
        how: as in :func:`fpsim.tensorcore.kernels.fused_matmul`, then the shift that aligns a term with itself.
    """
    rows, n = out.shape
    block = sa.shape[0] // za.shape[0]
    wide = (n + COLUMNS - 1) // COLUMNS
    for task in prange(rows * wide):
        i, j0 = task // wide, task % wide * COLUMNS
        j1 = min(j0 + COLUMNS, n)
        sums = np.empty((group // CHUNK, j1 - j0), np.int32)
        top, total = np.empty(j1 - j0, np.int32), np.empty(j1 - j0, np.int64)
        bits = out[i, j0:j1]
        for k in range(0, sa.shape[0], group):
            start(bits, top, how)
            for c in range(group // CHUNK):
                at = k + c * CHUNK
                sums[c] = i32(0)
                for term in range(at, at + CHUNK):
                    add_products(sa[term, i], sb[term, j0:j1], sums[c])
                scale_sums(za[at // block, i], zb[at // block, j0:j1], sums[c])
                raise_top(sums[c], ya[at // block, i], yb[at // block, j0:j1], top)
            add_accumulator(bits, top, total, how)
            for c in range(group // CHUNK):
                at = (k + c * CHUNK) // block
                add_sums(sums[c], ya[at, i], yb[at, j0:j1], top, total, i64(how[5]))
            finish(total, top, bits, how)


@njit(parallel=True)
def chunk_dots(sa, sb, za, ya, zb, yb, out, group, how):
    """The same for pairs of vectors: all operands [K, N] and their scales [blocks, N], out [1, N]."""
    n = out.shape[1]
    block = sa.shape[0] // za.shape[0]
    for task in prange((n + COLUMNS - 1) // COLUMNS):
        j0 = task * COLUMNS
        j1 = min(j0 + COLUMNS, n)
        sums = np.empty((group // CHUNK, j1 - j0), np.int32)
        top, total = np.empty(j1 - j0, np.int32), np.empty(j1 - j0, np.int64)
        bits = out[0, j0:j1]
        for k in range(0, sa.shape[0], group):
            start(bits, top, how)
            for c in range(group // CHUNK):
                at = k + c * CHUNK
                sums[c] = i32(0)
                for term in range(at, at + CHUNK):
                    add_products(sa[term, j0:j1], sb[term, j0:j1], sums[c])
                scale_sums(za[at // block, j0:j1], zb[at // block, j0:j1], sums[c])
                raise_top(sums[c], ya[at // block, j0:j1], yb[at // block, j0:j1], top)
            add_accumulator(bits, top, total, how)
            for c in range(group // CHUNK):
                at = (k + c * CHUNK) // block
                add_sums(sums[c], ya[at, j0:j1], yb[at, j0:j1], top, total, i64(how[5]))
            finish(total, top, bits, how)


@njit
def add_products(a, b, sums):
    """One product more in the exact sums."""
    for j in range(sums.size):
        sums[j] = add(sums[j], mul(pick(a, j), b[j]))


@njit
def scale_sums(za, zb, sums):
    """Times the scales' significands, exactly."""
    for j in range(sums.size):
        sums[j] = mul(sums[j], mul(pick(za, j), zb[j]))


@njit
def raise_top(sums, ya, yb, top):
    """The largest exponent after one more term; a term that is 0 has none."""
    for j in range(top.size):
        top[j] = largest(top[j], add(pick(ya, j), yb[j])) if sums[j] != i32(0) else top[j]


@njit
def add_sums(sums, ya, yb, top, total, lift):
    """One term more in the sum, aligned; its magnitude is truncated."""
    for j in range(total.size):
        size = shl(i64(magnitude(sums[j])), lift)
        shift = i64(least(sub(top[j], add(pick(ya, j), yb[j])), i32(63)))
        sign = i64(sar(sums[j], i32(31)))
        value = shr(size, largest(shift, 0))
        total[j] = add(total[j], sub(xor(value, sign), sign))
