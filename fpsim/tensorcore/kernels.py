"""The fused sums, compiled: for each output the terms of a group, lanes along the outputs of a row.

A lane is as narrow as its numbers allow: int16 holds every product aligned to 13 fraction bits, int32 one aligned
to 25; sums are int32 and int64. Results are float32 patterns, the accumulator of the next group.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from fpsim.tensorcore.lanes import (
    add,
    both,
    cast,
    largest,
    last,
    least,
    magnitude,
    mul,
    pick,
    sar,
    shl,
    shr,
    sub,
    xor,
)
from fpsim.tensorcore.rounding import finish

i32 = np.int32
#: Rows and columns of the outputs that one task sums: their operands of one group stay in the first-level cache.
ROWS, COLUMNS = 16, 128
#: Below every sum of exponents.
NOTHING = i32(-30000)


@njit(parallel=True)
def fused_matmul(sa, ea, sb, eb, xa, xb, out, total_type, group, how):
    """Add products to an accumulator, group by group.

    Args:
        sa: significands of a [M, K], shifted so that products have the fraction bits of the sum.
        ea: exponents of a.
        sb: significands of b [K, N]; eb: their exponents.
        xa: exponents of the block scales [M, groups], or [M, 0] without any; xb: those of b [groups, N].
        out: float32 patterns [M, N], the accumulator.
        total_type: an array of the type of sums.
        group: products of one sum.
        how: fraction bits, fraction bits of the result, ties to even or truncate, least exponent of the
            accumulator, exponent floor.
    """
    rows, n = out.shape
    tall, wide = (rows + ROWS - 1) // ROWS, (n + COLUMNS - 1) // COLUMNS
    scaled = xa.shape[1] > 0
    for task in prange(tall * wide):
        j0, i0 = task // tall * COLUMNS, task % tall * ROWS
        j1 = min(j0 + COLUMNS, n)
        top, relative = np.empty(j1 - j0, ea.dtype), np.empty(j1 - j0, ea.dtype)
        total = np.empty(j1 - j0, total_type.dtype)
        for g in range(sa.shape[1] // group):
            begin, end = g * group, (g + 1) * group
            for i in range(i0, min(i0 + ROWS, rows)):
                bits = out[i, j0:j1]
                start(bits, top, how)
                towards = relative if scaled else top
                if scaled:
                    relative[:] = NOTHING
                for k in range(begin, end, 4):
                    four = (ea[i, k], ea[i, k + 1], ea[i, k + 2], ea[i, k + 3])
                    raise_top(four, rows_of(eb, k, j0, j1), towards)
                if scaled:
                    rescale(xa[i, g], xb[g, j0:j1], top, relative)
                add_accumulator(bits, top, total, how)
                for k in range(begin, end, 4):
                    exponents = (ea[i, k], ea[i, k + 1], ea[i, k + 2], ea[i, k + 3])
                    four = (sa[i, k], sa[i, k + 1], sa[i, k + 2], sa[i, k + 3])
                    add_terms(exponents, four, rows_of(eb, k, j0, j1), rows_of(sb, k, j0, j1), towards, total)
                finish(total, top, bits, how)


@njit(parallel=True)
def fused_dots(sa, ea, sb, eb, xa, xb, out, total_type, group, how):
    """The same for pairs of vectors: all operands [K, N] and their scales [groups, N], out [1, N]."""
    n = out.shape[1]
    scaled = xa.shape[0] > 0
    for task in prange((n + COLUMNS - 1) // COLUMNS):
        j0 = task * COLUMNS
        j1 = min(j0 + COLUMNS, n)
        top, relative = np.empty(j1 - j0, ea.dtype), np.empty(j1 - j0, ea.dtype)
        total = np.empty(j1 - j0, total_type.dtype)
        bits = out[0, j0:j1]
        for g in range(sa.shape[0] // group):
            begin, end = g * group, (g + 1) * group
            start(bits, top, how)
            towards = relative if scaled else top
            if scaled:
                relative[:] = NOTHING
            for k in range(begin, end, 4):
                raise_top(rows_of(ea, k, j0, j1), rows_of(eb, k, j0, j1), towards)
            if scaled:
                rescale(xa[g, j0:j1], xb[g, j0:j1], top, relative)
            add_accumulator(bits, top, total, how)
            for k in range(begin, end, 4):
                exponents, four = rows_of(ea, k, j0, j1), rows_of(sa, k, j0, j1)
                add_terms(exponents, four, rows_of(eb, k, j0, j1), rows_of(sb, k, j0, j1), towards, total)
            finish(total, top, bits, how)


@njit(inline="always")
def rows_of(x, k, j0, j1):
    """Four rows of a tile; each by itself, as Numba knows only of those that they are contiguous."""
    return x[k, j0:j1], x[k + 1, j0:j1], x[k + 2, j0:j1], x[k + 3, j0:j1]


@njit(inline="always")
def start(bits, top, how):
    """The largest exponent so far: the accumulator's or, where that is 0, the floor."""
    floor, lowest = i32(how[4]), i32(how[3])
    for j in range(top.size):
        size = both(bits[j], i32(0x7FFFFFFF))
        exponent = largest(sub(shr(size, i32(23)), i32(127)), lowest)
        top[j] = cast(largest(exponent, floor) if size != i32(0) else floor, top[j])


@njit(inline="always")
def raise_top(ea, eb, top):
    """The largest exponent after four more products."""
    a0, a1, a2, a3 = ea
    b0, b1, b2, b3 = eb
    for j in range(top.size):
        first = largest(add(pick(a0, j), b0[j]), add(pick(a1, j), b1[j]))
        second = largest(add(pick(a2, j), b2[j]), add(pick(a3, j), b3[j]))
        top[j] = largest(top[j], largest(first, second))


@njit(inline="always")
def rescale(xa, xb, top, relative):
    """The largest exponent where products carry the exponents of block scales, and that less those."""
    for j in range(top.size):
        scale = cast(add(pick(xa, j), xb[j]), top[j])
        top[j] = largest(top[j], add(relative[j], scale))
        relative[j] = sub(top[j], scale)


@njit(inline="always")
def add_accumulator(bits, top, total, how):
    """The accumulator, aligned and truncated, as the sum's first term."""
    lift = i32(max(how[0] - 23, 0))
    drop = i32(23 + lift - how[0])
    for j in range(total.size):
        size = both(bits[j], i32(0x7FFFFFFF))
        field = shr(size, i32(23))
        hidden = i32(0x800000) if field > i32(0) else i32(0)
        significand = shl(cast(add(both(size, i32(0x7FFFFF)), hidden), total[j]), cast(lift, total[j]))
        exponent = largest(sub(field, i32(127)), i32(-126))
        shift = least(add(sub(cast(top[j], exponent), exponent), drop), cast(last(total[j]), drop))
        sign = sar(bits[j], i32(31))
        value = shr(significand, cast(shift, total[j]))
        total[j] = sub(xor(value, cast(sign, total[j])), cast(sign, total[j]))


@njit(inline="always")
def term(ea, sa, eb, sb, top):
    """One product, aligned; its magnitude is truncated."""
    end = last(top)
    product = mul(sa, sb)
    sign = sar(product, end)
    shift = least(sub(top, add(ea, eb)), end)
    return cast(sub(xor(shr(magnitude(product), shift), sign), sign), i32(0))


@njit(inline="always")
def add_terms(ea, sa, eb, sb, top, total):
    """Four products more in the sum."""
    a0, a1, a2, a3 = ea
    s0, s1, s2, s3 = sa
    b0, b1, b2, b3 = eb
    t0, t1, t2, t3 = sb
    for j in range(total.size):
        first = term(pick(a0, j), pick(s0, j), b0[j], t0[j], top[j])
        second = term(pick(a1, j), pick(s1, j), b1[j], t1[j], top[j])
        third = term(pick(a2, j), pick(s2, j), b2[j], t2[j], top[j])
        fourth = term(pick(a3, j), pick(s3, j), b3[j], t3[j], top[j])
        total[j] = add(total[j], cast(add(add(first, second), add(third, fourth)), total[j]))
