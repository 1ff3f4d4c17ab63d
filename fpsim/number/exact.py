"""The specification: decode and round on exact fractions, written to be read.

Everything that rounds in fpsim equals this module bit for bit. It is slow on purpose: no tables, no
bit tricks, one rule a function. Which neighbour a number becomes is in :mod:`fpsim.number.neighbours`.
"""

from __future__ import annotations

import math
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number.codebook import CodebookFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy
from fpsim.number.encoding import Element, check, encode
from fpsim.number.floats import FloatFormat, Specials
from fpsim.number.ints import IntFormat

#: The widths in which inputs arrive and results leave, as formats of their own.
BINARY16 = FloatFormat(name="binary16", exponent_bits=5, mantissa_bits=10, bias=15, specials=Specials.IEEE)
BFLOAT16 = FloatFormat(name="bfloat16", exponent_bits=8, mantissa_bits=7, bias=127, specials=Specials.IEEE)
BINARY32 = FloatFormat(name="binary32", exponent_bits=8, mantissa_bits=23, bias=127, specials=Specials.IEEE)
BINARY64 = FloatFormat(name="binary64", exponent_bits=11, mantissa_bits=52, bias=1023, specials=Specials.IEEE)
WIDTHS = {32: BINARY32, 64: BINARY64}


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
    if code == fmt.nan_code:
        return math.nan
    if magnitude > fmt.max_code:
        return math.copysign(math.inf, -negative) if magnitude == fmt.inf_code else math.nan
    value = fmt.grid_value(magnitude)
    if value == 0:
        return -0.0 if negative and fmt.has_negative_zero else Fraction(0)
    return Fraction(fmt.scale(width)) * (-value if negative else value)


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


def quantize(
    fmt: Element,
    x: float,
    *,
    width: int = 32,
    scale: float = 1.0,
    out: FloatFormat | None = None,
    how: Conversion = DEFAULT,
    word: int = 0,
) -> float:
    """Round one number: t = x / s (one IEEE division), g = its grid value, y = s · g (one IEEE product).

    Where the working width cannot hold g, its nearest finite number stands for it. A product that overflows, which
    only a scale above 1 can cause and quantizers refuse, is ±inf.

    Args:
        fmt: an element format.
        x: a number of the working width.
        width: the working width, 32 or 64.
        scale: a quantizer's scale, a positive number of the working width. Where the format has a scale of
            its own (a real bias, fraction bits) the two are multiplied first (one IEEE product).
        out: the width of the result; default the working width. A result that it cannot hold becomes its
            nearest finite value.
        how: rounding mode, overflow and NaN policy.
        word: the random number of stochastic rounding, below 2^random_bits.

    Returns:
        The rounded number. To nearest it is within half an ulp of ``x`` when the scale is a power of two and
        nothing saturates. NaN stays NaN where the format has one or the policy keeps it.

    Raises:
        FpsimError: an overflow policy that needs an Inf or NaN which the format lacks.

    Source: the division and product make equations 6 to 9 of Chen et al. 2024 well defined for real biases.
    """
    check(fmt, how)
    has_nan = isinstance(fmt, FloatFormat) and fmt.nan_code is not None
    if math.isnan(x) and (has_nan or how.nan is NanPolicy.KEEP):
        return x
    work = WIDTHS[width]
    s = to_width(work, Fraction(scale) * Fraction(fmt.scale(width)))
    t = x if not math.isfinite(x) or x == 0 else divide(work, Fraction(x), Fraction(s))
    g = decode(fmt.grid, encode(fmt.grid, t, how, word=word), width=width)
    if isinstance(g, float) and g != 0:  # a float is ±inf, nan or −0.0
        return g
    if not isinstance(g, float):
        g = to_width(work, g)
    y = math.copysign(0.0, g) if g == 0 else divide(work, Fraction(g) * Fraction(s), Fraction(1))
    return y if out is None else to_width(out, y)


__all__ = [
    "BFLOAT16",
    "BINARY16",
    "BINARY32",
    "BINARY64",
    "WIDTHS",
    "Element",
    "check",
    "decode",
    "divide",
    "encode",
    "quantize",
    "to_width",
]
