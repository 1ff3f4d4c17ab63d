"""Which operand types hold every value of a number format's grid, exactly."""

from __future__ import annotations

from fractions import Fraction

from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.tensorcore.integer_types import RANGES, UINT8
from fpsim.tensorcore.operands import element_format


def type_bits(name: str) -> int:
    """Return the width of an operand type in bits; of a block type's elements.

    >>> type_bits("fp16"), type_bits("int8"), type_bits("mxfp4")
    (16, 8, 4)
    """
    return 8 if name in RANGES else element_format(name).bits


def shift_into(fmt: ElementFormat, name: str) -> int | None:
    """Return the k of least magnitude for which ``grid value · 2^k`` is always a value of the type; None without one.

    The scale takes the factor back, so that a bias decides nothing. An unsigned integer format counts with every
    zero point: its differences reach from minus its largest value to its largest. Only ``uint8`` gets its codes, as
    integer sums can be corrected for the zero point.

    Args:
        fmt: an element format; its integer-bias grid counts.
        name: the operand type, such as ``e4m3``.

    >>> from fpsim import format
    >>> [shift_into(fmt, "e4m3") for fmt in (format("e2m1"), format("e3m4"), format("e2m1", bias=12.5))]
    [0, None, 3]
    """
    if name in RANGES:
        return 0 if isinstance(fmt, IntFormat) and _integers_fit(fmt, name) else None
    target = element_format(name)
    if isinstance(fmt, CodebookFormat):
        return 0 if all(_holds(target, Fraction(value)) for value in fmt.values) else None
    if isinstance(fmt, IntFormat):
        precision, least, largest = _significant(fmt), Fraction(1), Fraction(max(_reach(fmt)))
    else:
        grid = fmt.grid
        precision, least, largest = grid.precision, _step(grid), grid.max
    if precision > target.precision:
        return None
    lowest, highest = _exponent(_step(target) / least, up=True), _exponent(target.max / largest, up=False)
    return None if lowest > highest else min(max(lowest, 0), highest)


def _integers_fit(fmt: IntFormat, name: str) -> bool:
    """Whether an integer type holds a format: ``uint8`` its codes, ``int8`` its values or differences."""
    low, high = RANGES[name]
    if name == UINT8:
        return not fmt.signed and fmt.hi <= high
    above, below = _reach(fmt)
    return above <= high and below <= -low


def _reach(fmt: IntFormat) -> tuple[int, int]:
    """The largest value and the magnitude of the smallest."""
    return (fmt.hi, -fmt.lo) if fmt.signed else (fmt.hi, fmt.hi)


def _significant(fmt: IntFormat) -> int:
    """Bits that every integer of the format fits in; a power of two at the end needs no bit of its own."""
    return max((value - 1).bit_length() for value in (*_reach(fmt), 2))


def _step(fmt: FloatFormat) -> Fraction:
    """The distance of a format's smallest values."""
    return Fraction(2) ** (fmt.emin - fmt.mantissa_bits)


def _exponent(ratio: Fraction, *, up: bool) -> int:
    """log2, rounded to a whole number."""
    k = ratio.numerator.bit_length() - ratio.denominator.bit_length()
    k -= Fraction(2) ** k > ratio  # now 2^k <= ratio < 2^(k + 1)
    return k + (up and Fraction(2) ** k != ratio)


def _holds(fmt: FloatFormat, value: Fraction) -> bool:
    if not value:
        return True
    leading = _exponent(abs(value), up=False)
    step = Fraction(2) ** (max(leading, fmt.emin) - fmt.mantissa_bits)
    return abs(value) <= fmt.max and (value / step).denominator == 1
