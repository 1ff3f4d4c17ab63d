"""The specification: decode and round on exact fractions, written to be read.

Everything that rounds in fpsim equals this module bit for bit. It is slow on purpose: no tables, no
bit tricks, one rule a function. Rounding is to nearest with ties to the even code; magnitudes beyond
the largest finite value, Inf included, become it (saturation).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number.codebook import CodebookFormat
from fpsim.number.floats import FloatFormat, Specials
from fpsim.number.ints import IntFormat

#: The widths in which inputs arrive and results leave, as formats of their own.
BINARY16 = FloatFormat(name="binary16", exponent_bits=5, mantissa_bits=10, bias=15, specials=Specials.IEEE)
BFLOAT16 = FloatFormat(name="bfloat16", exponent_bits=8, mantissa_bits=7, bias=127, specials=Specials.IEEE)
BINARY32 = FloatFormat(name="binary32", exponent_bits=8, mantissa_bits=23, bias=127, specials=Specials.IEEE)
BINARY64 = FloatFormat(name="binary64", exponent_bits=11, mantissa_bits=52, bias=1023, specials=Specials.IEEE)
WIDTHS = {32: BINARY32, 64: BINARY64}

Element = FloatFormat | IntFormat | CodebookFormat


def decode(fmt: Element, code: int, *, width: int = 32) -> Fraction | float:
    """Return the exact value of a code: a Fraction, or the float ±inf, nan or −0.0.

    With a real bias the value is scale × grid, the scale taken in the working width.

    Args:
        fmt: an element format.
        code: 0 to 2^bits − 1.
        width: working width, 32 or 64.

    Raises:
        FpsimError: the code does not exist.
    """
    if not 0 <= code < 1 << fmt.bits or (isinstance(fmt, CodebookFormat) and code >= len(fmt.values)):
        raise FpsimError(f"code {code} does not exist in {fmt.name}: it has {fmt.bits} bits")
    if isinstance(fmt, CodebookFormat):
        return Fraction(fmt.values[code])
    if isinstance(fmt, IntFormat):
        integer = code - (1 << fmt.bits) if fmt.signed and code >> (fmt.bits - 1) else code
        return integer * fmt.unit
    magnitude, negative = code & fmt.magnitude_mask, bool(code & fmt.sign_bit)
    if fmt.specials is Specials.FNUZ and code == fmt.nan_code:
        return math.nan
    if magnitude > fmt.max_code:
        return math.copysign(math.inf, -negative) if magnitude == fmt.inf_code else math.nan
    value = fmt.grid_value(magnitude)
    if value == 0:
        return -0.0 if negative and fmt.has_negative_zero else Fraction(0)
    return Fraction(fmt.scale(width)) * (-value if negative else value)


def encode(fmt: Element, x: Fraction | float) -> int:
    """Return the code of the value nearest ``x`` on the integer-bias grid (ties to the even code).

    Args:
        fmt: an element format; a real bias counts as its floor, the caller divides by the scale.
        x: a Fraction, or a float, which may be ±inf, nan or −0.0.

    Raises:
        FpsimError: ``x`` is NaN and the format has no NaN.
    """
    if isinstance(x, float) and math.isnan(x):
        nan = fmt.nan_code if isinstance(fmt, FloatFormat) else None
        if nan is None:
            raise FpsimError(f"{fmt.name} has no NaN code, so NaN cannot be encoded; choose a format with NaN")
        return nan
    if isinstance(fmt, CodebookFormat):
        return _nearest(len(fmt.values), lambda i: Fraction(fmt.values[i]), lambda i: i, x)
    if isinstance(fmt, IntFormat):
        integer = round(max(min(x, fmt.max), fmt.lo * fmt.unit) / fmt.unit)  # Python rounds half to even
        return integer & ((1 << fmt.bits) - 1)
    negative = math.copysign(1, x) < 0 if isinstance(x, float) else x < 0
    if negative and not fmt.signed:
        return 0
    magnitude = encode_magnitude(fmt, -x if negative else x)
    if negative and (magnitude or fmt.has_negative_zero):
        return magnitude | fmt.sign_bit
    return magnitude


def encode_magnitude(fmt: FloatFormat, x: Fraction | float) -> int:
    """Return the magnitude code nearest ``x >= 0``, which may be inf."""
    skipped = 0 if fmt.subnormals or not fmt.zero else (1 << fmt.mantissa_bits) - 1

    def code(ordinal: int) -> int:
        return ordinal + skipped if ordinal else 0  # without subnormals their codes are not used

    return code(_nearest(fmt.max_code - skipped + 1, lambda i: fmt.grid_value(code(i)), code, x))


def _nearest(count: int, value: Callable[[int], Fraction], code: Callable[[int], int], x: Fraction | float) -> int:
    """Index of the value nearest ``x`` among ``count`` ascending ones; at a tie the one whose code is even.

    If both codes are even (zero and the smallest normal of a format without subnormals), the smaller wins.
    """
    above = bisect_right(range(count), x, key=value)  # values[above − 1] <= x < values[above]
    if above == 0:
        return 0
    if above == count:
        return count - 1
    below = above - 1
    middle = (value(below) + value(above)) / 2
    if x == middle:
        return above if code(below) % 2 else below
    return above if x > middle else below


def to_width(fmt: FloatFormat, x: Fraction | float) -> float:
    """Round to one of the IEEE widths above, ties to even, saturating; signs of zeros are kept."""
    value = decode(fmt, encode(fmt, x), width=64)
    return float(value)


def divide(work: FloatFormat, numerator: Fraction, denominator: Fraction) -> float:
    """Return the IEEE quotient in a width: to nearest, ties to even, overflowing to ±inf."""
    quotient = numerator / denominator
    half_ulp = Fraction(2) ** (work.emax - work.mantissa_bits - 1)
    if abs(quotient) >= work.max + half_ulp:
        return math.inf if quotient > 0 else -math.inf
    return to_width(work, quotient)


def quantize(fmt: Element, x: float, *, width: int = 32, scale: float = 1.0, out: FloatFormat | None = None) -> float:
    """Round one number: t = x / s (one IEEE division), g = nearest grid value, y = s · g (one IEEE product).

    Where the working width cannot hold g or y, its nearest finite number stands for them.

    Args:
        fmt: an element format.
        x: a number of the working width; NaN stays NaN.
        width: the working width, 32 or 64.
        scale: a quantizer's scale, a positive number of the working width. Where the format has a scale of
            its own (a real bias, fraction bits) the two are multiplied first (one IEEE product).
        out: the width of the result; default the working width. A result that it cannot hold becomes its
            nearest finite value.

    Returns:
        The rounded number. Within half an ulp of ``x`` when the scale is a power of two and nothing saturates.

    Source: the division and product make equations 6 to 9 of Chen et al. 2024 well defined for real biases.
    """
    if math.isnan(x):
        return x
    work = WIDTHS[width]
    s = to_width(work, Fraction(scale) * Fraction(fmt.scale(width)))
    t = x if math.isinf(x) or x == 0 else divide(work, Fraction(x), Fraction(s))
    g = decode(fmt.grid, encode(fmt.grid, t), width=width)
    if not isinstance(g, float):  # a float is −0.0
        g = to_width(work, g)
    y = math.copysign(0.0, g) if g == 0 else to_width(work, Fraction(g) * Fraction(s))
    return y if out is None else to_width(out, y)
