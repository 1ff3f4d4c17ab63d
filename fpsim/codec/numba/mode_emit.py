"""LLVM instructions of every rounding mode and policy, for scalars and SIMD vectors alike.

The formulation is that of :mod:`fpsim.codec.numpy.modes`; mode and policy are known when the code is made, so that
each kernel holds the instructions of its own mode only.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from fpsim.codec.numba import emit
from fpsim.number.conversion import Overflow, Rounding
from fpsim.number.counter import M1, M2


class Constants(NamedTuple):
    """The fields of :class:`fpsim.codec.plan.ModePlan` that code needs: integers first, then floats."""

    drop: ir.Value
    parity: ir.Value
    clamp: ir.Value
    max: ir.Value
    special: ir.Value
    nan: ir.Value
    min_normal: ir.Value
    stays: ir.Value
    left: ir.Value
    right: ir.Value
    small: ir.Value
    unit: ir.Value
    lift: ir.Value
    lift2: ir.Value


def round_mode(b, x, k, mode, overflow, threshold):
    """``x`` on a float format's grid.

    Args:
        b: an ``IRBuilder``.
        x: the quotients.
        k: :class:`Constants`.
        mode: a Rounding.
        overflow: an Overflow.
        threshold: for stochastic rounding 2^random_bits less the random number, an int32; otherwise None.
    """
    pattern, negative = emit.bits(b, emit.magnitude(b, x)), is_negative(b, x)
    infinity = emit.constant(pattern.type, emit.LAYOUT[emit.element(x)][1])
    clamped = b.select(b.icmp_signed("<", pattern, k.clamp), pattern, k.clamp)
    normal = on_pattern(b, clamped, k, mode, negative, threshold)
    reach = None if threshold is None else reaches(b, k.lift, k.lift2, threshold)
    below = by_residual(b, b.bitcast(clamped, x.type), k.small, k.unit, mode, negative, reach)
    g = b.select(b.icmp_signed(">=", clamped, k.min_normal), normal, emit.bits(b, below))
    if overflow is Overflow.SPECIAL:
        beyond = k.special
        stays = stays_finite(b, k, mode, negative)
        if stays is not None:
            stays = b.and_(stays, b.icmp_signed("<", pattern, infinity))
            beyond = b.select(stays, k.max, k.special)
        g = b.select(b.icmp_signed(">", g, k.max), beyond, g)
    elif overflow is Overflow.PROPAGATE:
        g = b.select(b.icmp_signed("==", pattern, infinity), k.special, g)
    signed = emit.signed_like(b, b.bitcast(g, x.type), x)
    return b.select(b.icmp_signed(">", pattern, infinity), b.bitcast(k.nan, x.type), signed)


def round_linear(b, x, lo, hi, nan, lift, mode, threshold):
    """``x`` clamped to [lo, hi] and rounded to an integer; ``nan`` replaces NaN, ``lift`` is 2^random_bits."""
    low = b.select(b.fcmp_ordered("<", x, lo), lo, x)
    inside, negative = b.select(b.fcmp_ordered(">", low, hi), hi, low), is_negative(b, x)
    magic = emit.constant(x.type, 2.0 ** emit.LAYOUT[emit.element(x)][3])
    one = emit.constant(x.type, 1.0)
    reach = None if threshold is None else reaches(b, lift, one, threshold)
    g = by_residual(b, emit.magnitude(b, inside), magic, one, mode, negative, reach)
    signed = b.fadd(emit.signed_like(b, g, inside), emit.constant(x.type, 0.0))
    return b.select(b.fcmp_unordered("uno", x, x), nan, signed)


def is_negative(b, x):
    """Whether the sign bit is set."""
    pattern = emit.bits(b, x)
    return b.icmp_signed("<", pattern, emit.constant(pattern.type, 0))


def stays_finite(b, k, mode, negative):
    """Whether a finite number beyond the maximum becomes it under ``special``; None where it never does."""
    if mode is Rounding.TO_ODD:
        return b.icmp_signed("!=", k.stays, emit.constant(k.stays.type, 0))
    if mode is Rounding.TOWARD_ZERO:
        return emit.constant(negative.type, 1)
    if mode is Rounding.TOWARD_POSITIVE:
        return negative
    return b.not_(negative) if mode is Rounding.TOWARD_NEGATIVE else None


def away(b, mode, negative, inexact):
    """Whether a directed mode leads away from zero: where the number is inexact and has the right sign."""
    if mode is Rounding.TOWARD_ZERO:
        return emit.constant(inexact.type, 0)
    return b.and_(inexact, negative if mode is Rounding.TOWARD_NEGATIVE else b.not_(negative))


def on_pattern(b, a, k, mode, negative, threshold):
    """A normal number's bit pattern, rounded."""
    zero, one = emit.constant(a.type, 0), emit.constant(a.type, 1)
    unit = b.shl(one, k.drop)
    rest = b.and_(a, b.sub(unit, one))
    odd = b.and_(b.xor(b.lshr(a, k.drop), k.parity), one)
    half = b.lshr(unit, one)
    half = b.select(b.icmp_signed("==", half, zero), one, half)  # without dropped bits the rest never reaches it
    if mode is Rounding.TIES_TO_EVEN:
        up = b.icmp_signed(">", b.add(rest, odd), half)
    elif mode is Rounding.TIES_TO_AWAY:
        up = b.icmp_signed(">=", rest, half)
    elif mode is Rounding.TO_ODD:
        up = b.and_(b.icmp_signed("!=", rest, zero), b.icmp_signed("==", odd, zero))
    elif mode is Rounding.STOCHASTIC:
        up = b.icmp_signed(">=", b.shl(rest, k.left), b.shl(widened(b, threshold, a.type), k.right))
    else:
        up = away(b, mode, negative, b.icmp_signed("!=", rest, zero))
    return b.add(b.sub(a, rest), b.select(up, unit, zero))


def by_residual(b, a, small, unit, mode, negative, reach):
    """Magnitudes rounded to multiples of ``unit``; adding ``small`` does it to nearest even."""
    total = b.fadd(a, small)
    g = b.fsub(total, small)
    zero = emit.constant(a.type, 0.0)
    if mode is Rounding.TIES_TO_EVEN:
        return g
    rest = b.fsub(a, g)
    if mode is Rounding.TIES_TO_AWAY:
        half = b.fmul(unit, emit.constant(a.type, 0.5))
        tie = b.and_(b.fcmp_ordered("==", rest, half), b.fcmp_ordered(">", rest, zero))
        return b.fadd(g, b.select(tie, unit, zero))
    went_up = b.fcmp_ordered("<", rest, zero)
    low = b.fsub(g, b.select(went_up, unit, zero))
    distance = b.fsub(a, low)
    inexact = b.fcmp_ordered(">", distance, zero)
    if mode is Rounding.TO_ODD:
        pattern = emit.bits(b, total)
        one = emit.constant(pattern.type, 1)
        low_is_even = b.xor(b.icmp_signed("==", b.and_(pattern, one), emit.constant(pattern.type, 0)), went_up)
        up = b.and_(inexact, low_is_even)
    elif mode is Rounding.STOCHASTIC:
        up = reach(distance)
    else:
        up = away(b, mode, negative, inexact)
    return b.fadd(low, b.select(up, unit, zero))


def reaches(b, lift, lift2, threshold):
    """A function: whether a distance from the lower neighbour reaches the threshold; every product is exact."""

    def reach(distance):
        scaled = b.fmul(b.fmul(distance, lift), lift2)
        return b.fcmp_ordered(">=", scaled, b.sitofp(threshold, distance.type))

    return reach


def widened(b, value, integer):
    """A non-negative int32 in another integer type of the same shape."""
    return value if value.type == integer else b.zext(value, integer)


def threshold(b, index, key, second, shift, steps):
    """2^random_bits less the random number of an element, which :mod:`fpsim.number.counter` defines; all int32."""

    def constant(number):
        return emit.constant(index.type, number)

    x = b.xor(index, key)
    x = b.mul(b.xor(x, b.lshr(x, constant(16))), constant(M1))
    x = b.xor(b.xor(x, b.lshr(x, constant(15))), second)
    x = b.mul(x, constant(M2))
    x = b.xor(x, b.lshr(x, constant(16)))
    return b.sub(steps, b.lshr(x, shift))
