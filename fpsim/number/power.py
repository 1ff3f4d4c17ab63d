"""Powers of two with real exponents, correctly rounded."""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache

#: Enough digits that no float64 exponent comes near a rounding boundary by accident.
_CONTEXT = Context(prec=80)


@lru_cache(maxsize=4096)
def power_of_two(exponent: Fraction, precision: int) -> float:
    """Return 2^exponent rounded to ``precision`` significant bits (ties to even), as a float.

    Args:
        exponent: in [−1, 0], exactly.
        precision: 24 (binary32) or 53 (binary64).

    >>> power_of_two(Fraction(-1), 24)
    0.5
    """
    numerator = _CONTEXT.divide(Decimal(exponent.numerator), Decimal(exponent.denominator))
    value = Fraction(_CONTEXT.power(Decimal(2), numerator))
    unit = Fraction(1, 1 << precision) if value < 1 else Fraction(1, 1 << (precision - 1))  # ulp in [1/2, 1)
    return float(round(value / unit) * unit)
