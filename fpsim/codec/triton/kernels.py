"""Triton kernels: :mod:`fpsim.codec.numpy.modes` for CUDA devices, one pass over memory.

``MODE`` and ``OVERFLOW`` are the places of the names in :mod:`fpsim.number.conversion`; they and the format's constants
are known when a kernel is compiled.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fpsim.number.counter import M1, M2

EVEN, AWAY, ZERO, POSITIVE, NEGATIVE, ODD, STOCHASTIC = (tl.constexpr(i) for i in range(7))
SATURATE, PROPAGATE, SPECIAL = (tl.constexpr(i) for i in range(3))
_M1, _M2 = tl.constexpr(M1), tl.constexpr(M2)


@triton.jit
def _threshold(index, key, second, RANDOM_BITS: tl.constexpr):
    """2^RANDOM_BITS less the element's random number, as :mod:`fpsim.number.counter` defines it."""
    x = (index & 0xFFFFFFFF).to(tl.uint32) ^ key.to(tl.uint32)
    x = (x ^ (x >> 16)) * tl.full([], _M1, tl.uint32)
    x = (x ^ (x >> 15)) ^ second.to(tl.uint32)
    x = x * tl.full([], _M2, tl.uint32)
    x = x ^ (x >> 16)
    return (1 << RANDOM_BITS) - (x >> (32 - RANDOM_BITS)).to(tl.int32)


@triton.jit
def _directed(negative, inexact, MODE: tl.constexpr):
    """Whether a directed mode leads away from zero."""
    if MODE == POSITIVE:
        return inexact & (negative == 0)
    if MODE == NEGATIVE:
        return inexact & negative
    return inexact & (inexact == 0)


@triton.jit
def _by_residual(a, negative, threshold, small, unit, lift, lift2, BITS: tl.constexpr, MODE: tl.constexpr):
    """Magnitudes rounded to multiples of ``unit``; adding ``small`` does it to nearest even."""
    total = a + small
    g = total - small
    if MODE == EVEN:
        return g
    rest = a - g
    if MODE == AWAY:
        return tl.where(rest == unit * 0.5, g + unit, g)
    low = tl.where(rest < 0, g - unit, g)
    distance = a - low
    if MODE == ODD:
        odd = (total.to(BITS, bitcast=True) & 1) != 0
        up = (distance > 0) & (odd == (rest < 0))
    elif MODE == STOCHASTIC:
        up = distance * lift * lift2 >= threshold.to(a.dtype)
    else:
        up = _directed(negative, distance > 0, MODE)
    return tl.where(up, low + unit, low)


@triton.jit
def _on_pattern(a, negative, threshold, parity, left, right, DROP: tl.constexpr, MODE: tl.constexpr):
    """A normal number's bit pattern, rounded."""
    unit = tl.full([], 1, a.dtype) << DROP
    rest = a & (unit - 1)
    odd = ((a >> DROP) ^ parity) & 1
    half = tl.maximum(unit >> 1, 1)  # without dropped bits the rest is 0 and never reaches it
    if MODE == EVEN:
        up = rest + odd > half
    elif MODE == AWAY:
        up = rest >= half
    elif MODE == ODD:
        up = (rest != 0) & (odd == 0)
    elif MODE == STOCHASTIC:
        up = (rest << left) >= (threshold.to(a.dtype) << right)
    else:
        up = _directed(negative, rest != 0, MODE)
    return tl.where(up, a - rest + unit, a - rest)


@triton.jit
def _stays(negative, stays, MODE: tl.constexpr):
    """Whether a finite number beyond the maximum becomes it under ``special``."""
    never = negative & (negative == 0)
    if MODE == ZERO:
        return never == 0
    if MODE == POSITIVE:
        return negative
    if MODE == NEGATIVE:
        return negative == 0
    if MODE == ODD:
        return (never == 0) & (stays != 0)
    return never


@triton.jit
def round_float(
    x_ptr, y_ptr, scale_ptr, keys_ptr, count, columns, row_step, column_step, integers_ptr, floats_ptr,
    WIDE: tl.constexpr, DROP: tl.constexpr, RANDOM_BITS: tl.constexpr,
    MODE: tl.constexpr, OVERFLOW: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Float formats: ``y = s · round(x / s) + zero``; constants in the order of ``triton.twin``."""
    BITS: tl.constexpr = tl.int64 if WIDE else tl.int32
    INFINITY: tl.constexpr = 0x7FF0000000000000 if WIDE else 0x7F800000
    SIGN: tl.constexpr = -0x8000000000000000 if WIDE else -0x80000000
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    s = tl.load(scale_ptr + (index // columns) * row_step + (index % columns) * column_step, inside, 1.0)
    x = tl.load(x_ptr + index, inside, 0.0)
    t = x / s if WIDE else tl.div_rn(x, s)
    parity, clamp, largest = tl.load(integers_ptr), tl.load(integers_ptr + 1), tl.load(integers_ptr + 2)
    special, nan, min_normal = tl.load(integers_ptr + 3), tl.load(integers_ptr + 4), tl.load(integers_ptr + 5)
    stays, left, right = tl.load(integers_ptr + 6), tl.load(integers_ptr + 7), tl.load(integers_ptr + 8)
    small, unit, zero = tl.load(floats_ptr), tl.load(floats_ptr + 1), tl.load(floats_ptr + 4)
    lift, lift2 = tl.load(floats_ptr + 2), tl.load(floats_ptr + 3)
    pattern = t.to(BITS, bitcast=True)
    sign = pattern & SIGN
    negative, pattern = sign != 0, pattern ^ sign
    threshold = index.to(tl.int32)
    if MODE == STOCHASTIC:
        key = keys_ptr + 2 * (index >> 32)
        threshold = _threshold(index, tl.load(key, inside, 0), tl.load(key + 1, inside, 0), RANDOM_BITS)
    clamped = tl.minimum(pattern, clamp)
    normal = _on_pattern(clamped, negative, threshold, parity, left, right, DROP, MODE)
    a = clamped.to(t.dtype, bitcast=True)
    below = _by_residual(a, negative, threshold, small, unit, lift, lift2, BITS, MODE)
    g = tl.where(clamped >= min_normal, normal, below.to(BITS, bitcast=True))
    if OVERFLOW == SPECIAL:
        finite = _stays(negative, stays, MODE) & (pattern < INFINITY)
        g = tl.where(g > largest, tl.where(finite, largest, special), g)
    elif OVERFLOW == PROPAGATE:
        g = tl.where(pattern == INFINITY, special, g)
    g = tl.where(pattern > INFINITY, nan, g | sign)
    tl.store(y_ptr + index, g.to(t.dtype, bitcast=True) * s + zero, inside)


@triton.jit
def round_integer(
    x_ptr, y_ptr, scale_ptr, keys_ptr, count, columns, row_step, column_step, lo_ptr, hi_ptr, floats_ptr,
    WIDE: tl.constexpr, RANDOM_BITS: tl.constexpr, MODE: tl.constexpr, NAN_IS_HI: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Integers between bounds of the scale's shape: ``y = s · round(clamp(x / s, lo, hi))``."""
    BITS: tl.constexpr = tl.int64 if WIDE else tl.int32
    index = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = index < count
    place = (index // columns) * row_step + (index % columns) * column_step
    s = tl.load(scale_ptr + place, inside, 1.0)
    lo, hi = tl.load(lo_ptr + place, inside), tl.load(hi_ptr + place, inside)
    x = tl.load(x_ptr + index, inside, 0.0)
    t = x / s if WIDE else tl.div_rn(x, s)
    magic, one, steps, nan = (
        tl.load(floats_ptr), tl.load(floats_ptr + 1), tl.load(floats_ptr + 2), tl.load(floats_ptr + 3)
    )  # fmt: skip
    negative = t.to(BITS, bitcast=True) < 0
    threshold = index.to(tl.int32)
    if MODE == STOCHASTIC:
        key = keys_ptr + 2 * (index >> 32)
        threshold = _threshold(index, tl.load(key, inside, 0), tl.load(key + 1, inside, 0), RANDOM_BITS)
    low = tl.where(t < lo, lo, t)
    clamped = tl.where(low > hi, hi, low)
    g = _by_residual(tl.abs(clamped), negative, threshold, magic, one, steps, one, BITS, MODE)
    g = tl.where(clamped < 0, -g, g)
    g = tl.where(t != t, hi if NAN_IS_HI else nan, g)
    tl.store(y_ptr + index, g * s + 0.0, inside)
