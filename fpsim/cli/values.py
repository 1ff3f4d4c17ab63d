"""The values of a format as numbers of a working width and as text."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.exact import WIDTHS

_LONG = 20


def fitting_width(fmt: ElementFormat) -> int | None:
    """Return the narrower of the widths 32 and 64 that holds every value of the format's grid; None if neither."""
    if not isinstance(fmt, FloatFormat):
        return 64
    quantum = Fraction(2) ** (fmt.emin - fmt.mantissa_bits)
    for width, work in WIDTHS.items():
        least = work.min_subnormal
        if fmt.precision <= work.precision and fmt.max <= work.max and least is not None and quantum >= least:
            return width
    return None


def working_width(fmt: ElementFormat) -> int:
    """Return the width that holds every value of the format's grid.

    Raises:
        FpsimError: float64 does not hold them either.
    """
    width = fitting_width(fmt)
    if width is None and isinstance(fmt, FloatFormat):
        raise FpsimError(
            f"{fmt.name} with bias {fmt.bias} has values from 2^{fmt.emin - fmt.mantissa_bits} to 2^{fmt.emax + 1}, "
            "beyond float64; give a bias nearer the standard one"
        )
    return width or 64


def exact_scale(fmt: FloatFormat) -> Fraction:
    """Return the factor between grid and values that the tables show, exactly."""
    return Fraction(fmt.scale(fitting_width(fmt) or 64))


def as_float(fmt: ElementFormat, exact: Fraction | float, width: int) -> float:
    """Return a value of the format as the working width has it, inf, nan and −0.0 as they are.

    With a real bias it is the one IEEE product of scale and grid value.
    """
    value = float(exact)
    if width == 32 and isinstance(fmt, FloatFormat) and math.isfinite(value):
        # Exact in float64 before the one rounding: the scale has 24 bits, a grid value that fits float32 at most 24.
        (value,) = struct.unpack("<f", struct.pack("<f", value))
    return value


def exact_text(exact: Fraction | float) -> str:
    """Return a fraction as text that ``Fraction`` reads; ``-0``, ``inf``, ``-inf`` and ``nan`` otherwise.

    >>> exact_text(Fraction(1, 8)), exact_text(-0.0)
    ('1/8', '-0')
    """
    return "-0" if isinstance(exact, float) and exact == 0 else str(exact)


def short_text(exact: Fraction | float) -> str:
    """Return the exact value for the eye: a long fraction whose denominator is a power of two as ``3*2^-130``.

    >>> short_text(Fraction(3, 2)), short_text(Fraction(2) ** -127)
    ('3/2', '2^-127')
    """
    text = exact_text(exact)
    if len(text) <= _LONG or not isinstance(exact, Fraction):
        return text
    odd, exponent = abs(exact.numerator), 1 - exact.denominator.bit_length()
    if exact.denominator.bit_count() > 1:
        return text
    zeros = (odd & -odd).bit_length() - 1
    odd, exponent = odd >> zeros, exponent + zeros
    factor = "" if odd == 1 else f"{odd}*"
    return min(f"{'-' if exact < 0 else ''}{factor}2^{exponent}", text, key=len)


def value_text(value: float, *, rounded: bool = False) -> str:
    """Return a value for the eye: no ``.0``; nine digits, which identify a float32, where it is rounded anyway.

    >>> value_text(6.0), value_text(-0.0), value_text(0.6155722141265869, rounded=True)
    ('6', '-0', '0.615572214')
    """
    text = f"{value:.9g}" if rounded else repr(value)
    return text.removesuffix(".0")


def json_value(value: float) -> float | str:
    """Return a value as strict JSON has it: ``inf``, ``-inf`` and ``nan`` are strings."""
    return value if math.isfinite(value) else str(value)


def code_text(code: int, bits: int) -> str:
    """Return a code in hexadecimal, as many digits as the format's codes need."""
    return f"0x{code:0{-(-bits // 4)}x}"


def decimal_text(exact: Fraction) -> str:
    """Return nine digits of an exact number, or its short text where float64 cannot hold it."""
    try:
        value = float(exact)
    except OverflowError:
        return short_text(exact)
    return short_text(exact) if value == 0 else f"{value:.9g}"
