"""The finite values of a format in order: neighbours of a number, the ulp, ties, and what lies beyond the ends.

Everything here is on the integer-bias grid; a real bias multiplies it by the format's scale.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from fpsim.number.codebook import CodebookFormat
from fpsim.number.encoding import Element
from fpsim.number.floats import FloatFormat
from fpsim.number.ints import IntFormat

Number = Fraction | float


def is_finite(x: Number) -> bool:
    """Whether ``x`` is a finite number; a fraction may be beyond float64."""
    return isinstance(x, Fraction) or math.isfinite(x)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The finite values in strictly ascending order.

    Args:
        ordinals: of the values, consecutive integers; 0 is zero in floats and integers.
        value: the value of an ordinal.
        code: the code of an ordinal; of floats' zero that of +0.
    """

    ordinals: range
    value: Callable[[int], Fraction]
    code: Callable[[int], int]

    @property
    def count(self) -> int:
        """How many values there are; ``len`` cannot say it of 64 bits."""
        return self.ordinals.stop - self.ordinals.start

    def first(self, condition: Callable[[Fraction], bool]) -> int:
        """Return the first ordinal whose value meets a condition that all greater values meet; else the end."""
        low, high = self.ordinals.start, self.ordinals.stop
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if condition(self.value(middle)) else (middle + 1, high)
        return low


def ladder(fmt: Element) -> Ladder:
    """Return the finite values of a format in order; nothing is listed, so wide formats are as cheap.

    >>> steps = ladder(FloatFormat(name="e2m1", exponent_bits=2, mantissa_bits=1, bias=1))
    >>> [float(steps.value(i)) for i in steps.ordinals][7:]
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    """
    if isinstance(fmt, CodebookFormat):
        values = fmt.values
        return Ladder(ordinals=range(len(values)), value=lambda i: Fraction(values[i]), code=lambda i: i)
    if isinstance(fmt, IntFormat):
        mask, unit = (1 << fmt.bits) - 1, fmt.unit
        return Ladder(ordinals=range(fmt.lo, fmt.hi + 1), value=lambda i: i * unit, code=lambda i: i & mask)
    return _float_ladder(fmt)


def _float_ladder(fmt: FloatFormat) -> Ladder:
    skipped = 0 if fmt.subnormals or not fmt.zero else (1 << fmt.mantissa_bits) - 1  # codes that are not used
    top = fmt.max_code - skipped

    def magnitude(ordinal: int) -> int:
        return abs(ordinal) + skipped if ordinal else 0

    def value(ordinal: int) -> Fraction:
        size = fmt.grid_value(magnitude(ordinal))
        return -size if ordinal < 0 else size

    def code(ordinal: int) -> int:
        return magnitude(ordinal) | (fmt.sign_bit if ordinal < 0 else 0)

    return Ladder(ordinals=range(-top if fmt.signed else 0, top + 1), value=value, code=code)


def below(fmt: Element, t: Number) -> int | None:
    """Return the code of the greatest finite value strictly below ``t``; None if there is none."""
    steps = ladder(fmt)
    ordinal = steps.first(lambda value: value >= t) - 1
    return None if ordinal < steps.ordinals.start else _signed(fmt, t, steps.code(ordinal))


def above(fmt: Element, t: Number) -> int | None:
    """Return the code of the least finite value strictly above ``t``; None if there is none."""
    steps = ladder(fmt)
    ordinal = steps.first(lambda value: value > t)
    return None if ordinal == steps.ordinals.stop else _signed(fmt, t, steps.code(ordinal))


def _signed(fmt: Element, t: Number, code: int) -> int:
    """The zero next to a negative number is −0 where there is one."""
    negative_zero = isinstance(fmt, FloatFormat) and fmt.has_negative_zero and fmt.grid_value(0) == 0
    return fmt.sign_bit if negative_zero and code == 0 and t < 0 and isinstance(fmt, FloatFormat) else code


def halfway(fmt: Element, t: Number) -> bool:
    """Whether ``t`` lies exactly between two neighbours, also of the grid that goes on beyond the ends."""
    if not is_finite(t):
        return False
    steps = ladder(fmt)
    place = steps.first(lambda value: value > t)
    if not steps.ordinals.start < place < steps.ordinals.stop:
        return beyond(fmt, t) == Fraction(1, 2)
    low, high = steps.value(place - 1), steps.value(place)
    return t != low and 2 * Fraction(t) == low + high


def beyond(fmt: Element, t: Number) -> Fraction | None:
    """Return how far a finite ``t`` is beyond the nearer end, in steps of the grid that would follow there; else None.

    Codebooks and formats without zero do not go on: beyond their ends everything is one step away, or more.
    """
    steps = ladder(fmt)
    low, high = (steps.value(steps.ordinals[i]) for i in (0, -1))
    if low <= t <= high or (isinstance(fmt, FloatFormat) and 0 <= t <= high):
        return None
    if isinstance(fmt, CodebookFormat) or (t < 0 and isinstance(fmt, FloatFormat) and not fmt.zero):
        return Fraction(1)
    if isinstance(fmt, IntFormat):
        step = fmt.unit
    elif t < 0 and not fmt.signed:
        step = steps.value(1)
    else:
        step = fmt.grid_value(fmt.max_code + 1) - fmt.max
    return (low - Fraction(t) if t < low else Fraction(t) - high) / step


def ulp(fmt: Element, t: Number) -> Fraction:
    """Return the distance of neighbouring values in the binade of ``t``, or in its gap of a codebook.

    Beyond the largest value it is the largest one's. Between zero and the smallest normal of a format without
    subnormals it is that normal.
    """
    if isinstance(fmt, IntFormat):
        return fmt.unit
    if isinstance(fmt, CodebookFormat):
        place = min(max(bisect_right(fmt.values, t), 1), len(fmt.values) - 1)
        return Fraction(fmt.values[place]) - Fraction(fmt.values[place - 1])
    magnitude = abs(Fraction(t)) if is_finite(t) else fmt.max
    if magnitude < fmt.min_normal:
        return fmt.min_normal if fmt.zero and not fmt.subnormals else _step(fmt, fmt.emin)
    return _step(fmt, min(_exponent(magnitude), fmt.emax))


def _step(fmt: FloatFormat, exponent: int) -> Fraction:
    return Fraction(2) ** (exponent - fmt.mantissa_bits)


def _exponent(magnitude: Fraction) -> int:
    """floor(log2) of a positive fraction, exactly."""
    guess = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    return guess if magnitude >= Fraction(2) ** guess else guess - 1
