"""Whether one format's values are all values of another: what hardware of a type could compute with."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extent:
    """Facts of a set of values, before any scale.

    Attributes:
        digits: bits from the first to the last one of the value that needs most.
        lowest: exponent of the last bit of all values.
        largest: magnitude.
        negative: whether there are values below 0.
    """

    digits: int
    lowest: int
    largest: Fraction
    negative: bool


def holds(target: FloatFormat | IntFormat, fmt: ElementFormat) -> bool:
    """Whether each value of a format is one of ``target``, up to one power of two for all of them.

    A format's own scale (a real bias, fraction bits) is left out: it multiplies the result of a product, not its
    operands.

    Args:
        target: a type of hardware: every magnitude up to its largest one that has its precision is a value.
        fmt: any format of single elements.

    >>> from fpsim.number.names import format
    >>> holds(format("e2m1"), format("chen-e2m1")), holds(format("e4m3"), format("chen-e4m3"))
    (True, False)
    """
    own, other = _extent(target), _extent(fmt)
    if other.negative and not own.negative:
        return False
    if isinstance(target, IntFormat):
        if isinstance(fmt, IntFormat):
            return target.lo <= fmt.lo and fmt.hi <= target.hi
        return other.largest / Fraction(2) ** other.lowest <= target.hi
    shift = _floor_log2(own.largest / other.largest)
    return other.digits <= own.digits and other.lowest + shift >= own.lowest


def holds_but_largest(target: FloatFormat, fmt: ElementFormat) -> bool:
    """Whether a format's largest magnitude alone keeps it from being held by ``target``.

    >>> from fpsim.number.names import format
    >>> holds_but_largest(format("e4m3"), format("chen-e4m3")), holds_but_largest(format("e4m3"), format("e3m4"))
    (True, False)
    """
    if not isinstance(fmt, FloatFormat) or holds(target, fmt) or fmt.max_code < 2:
        return False
    own, other = _extent(target), _extent(fmt)
    shift = _floor_log2(own.largest / fmt.grid_value(fmt.max_code - 1))
    return other.digits <= own.digits and other.lowest + shift >= own.lowest and own.negative >= other.negative


def _extent(fmt: ElementFormat) -> _Extent:
    if isinstance(fmt, FloatFormat):
        digits = min(fmt.precision, fmt.max_code.bit_length())
        return _Extent(digits=digits, lowest=fmt.emin - fmt.mantissa_bits, largest=fmt.max, negative=fmt.signed)
    if isinstance(fmt, IntFormat):
        largest = Fraction(max(-fmt.lo, fmt.hi))
        return _Extent(digits=fmt.hi.bit_length(), lowest=0, largest=largest, negative=fmt.signed)
    return _codebook(fmt)


def _codebook(fmt: CodebookFormat) -> _Extent:
    values = [Fraction(value) for value in fmt.values if value]
    last = [_last_bit(value) for value in values]
    return _Extent(
        digits=max(_floor_log2(abs(value)) - bit + 1 for value, bit in zip(values, last, strict=True)),
        lowest=min(last),
        largest=max(map(abs, values)),
        negative=min(values) < 0,
    )


def _last_bit(value: Fraction) -> int:
    """Exponent of the last bit of a binary fraction other than 0."""
    number, divisor = abs(value.numerator), value.denominator
    return (number & -number).bit_length() - divisor.bit_length()


def _floor_log2(value: Fraction) -> int:
    """The exponent of the first bit of a positive fraction, exactly."""
    guess = value.numerator.bit_length() - value.denominator.bit_length()
    return guess if value >= Fraction(2) ** guess else guess - 1
