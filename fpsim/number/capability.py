"""What a format can represent, as the numbers by which formats are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from fpsim.number import BlockFormat, ElementFormat, FloatFormat, Format
from fpsim.number.inspection import own_scale
from fpsim.number.ordinals import ladder


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """Range, precision and use of codes of a format; of a block format those of its elements, before scales.

    Args:
        bits: a value, the block's scale included.
        exponent_bits: width of the exponent field; None where there is none, as for the next two.
        mantissa_bits: width of the mantissa field.
        bias: the exponent bias.
        precision: significant bits, the hidden one included; None for integers and codebooks, whose steps do not
            grow with the value.
        digits: the same in decimal digits, ``precision · log10 2``.
        min_subnormal: smallest positive subnormal value; None without subnormals.
        min_normal: smallest positive normal value; None for integers and codebooks.
        min_positive: smallest positive value; None if there is none.
        max: largest value (of a codebook the largest magnitude).
        binades: ``log2(max / min_positive)``; None without a positive value.
        decibels: the same as an amplitude ratio, 20 log10.
        codes: all, 2^bits of an element.
        unit_codes: distinct values v with 0 <= v < 1.
        inf, nan, negative_zero: how many codes these have.
        unused: further codes that are no value of their own (−128 of a symmetric int8, flushed subnormals).
    """

    bits: float
    exponent_bits: int | None
    mantissa_bits: int | None
    bias: float | None
    precision: int | None
    digits: float | None
    min_subnormal: Fraction | None
    min_normal: Fraction | None
    min_positive: Fraction | None
    max: Fraction
    binades: float | None
    decibels: float | None
    codes: int
    unit_codes: int
    inf: int
    nan: int
    negative_zero: int
    unused: int

    @property
    def wasted(self) -> int:
        """Codes that are no finite value of their own: Inf, NaN, −0 and unused ones."""
        return self.inf + self.nan + self.negative_zero + self.unused


def capability(fmt: Format) -> Capability:
    """Return what a format can represent; a real bias has its scale in float64.

    >>> from fpsim.number.names import format
    >>> found = capability(format("e4m3"))
    >>> found.max, found.unit_codes, found.wasted, round(found.binades, 1)
    (Fraction(448, 1), 56, 3, 17.8)
    """
    element = fmt.element if isinstance(fmt, BlockFormat) else fmt
    steps, scale = ladder(element), own_scale(element)
    positive = steps.first(lambda value: value > 0)
    least = steps.value(positive) * scale if positive < steps.ordinals.stop else None
    binades = None if least is None else log2(element.max * scale / least)
    real = element if isinstance(element, FloatFormat) else None
    inf, nan, negative_zero = _special(element)
    codes = 1 << element.bits
    return Capability(
        bits=fmt.bits,
        exponent_bits=real.exponent_bits if real else None,
        mantissa_bits=real.mantissa_bits if real else None,
        bias=real.bias if real else None,
        precision=real.precision if real else None,
        digits=real.precision * math.log10(2) if real else None,
        min_subnormal=real.min_subnormal * scale if real and real.min_subnormal else None,
        min_normal=real.min_normal * scale if real else None,
        min_positive=least,
        max=element.max * scale,
        binades=binades,
        decibels=None if binades is None else binades * 20 * math.log10(2),
        codes=codes,
        unit_codes=steps.first(lambda value: value * scale >= 1) - steps.first(lambda value: value >= 0),
        inf=inf,
        nan=nan,
        negative_zero=negative_zero,
        unused=codes - steps.count - inf - nan - negative_zero,
    )


def _special(fmt: ElementFormat) -> tuple[int, int, int]:
    """How many codes Inf, NaN and −0 have."""
    if not isinstance(fmt, FloatFormat):
        return 0, 0, 0
    signs = 1 + fmt.signed
    inf = signs if fmt.inf_code is not None else 0
    beyond = signs * (fmt.magnitude_mask - fmt.max_code)
    zero_is_nan = fmt.signed and fmt.nan_code == fmt.sign_bit
    return inf, beyond - inf + zero_is_nan, int(fmt.has_negative_zero)


def log2(x: Fraction) -> float:
    """Return log2 of a positive fraction, also beyond float64."""
    return math.log2(x.numerator) - math.log2(x.denominator)
