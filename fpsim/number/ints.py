"""Integer and fixed-point formats as values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True)
class IntFormat:
    """Integers of a width, in two's complement when signed, times ``2^−fraction_bits``.

    Args:
        name: what outputs call it; not part of the format's identity.
        bits: width of a code, 2 to 16.
        signed: False is 0 … 2^bits − 1, which a quantizer combines with a zero point.
        full: whether the most negative code −2^(bits−1) is used; otherwise the range is symmetric.
        fraction_bits: position of the binary point (6 for MXINT8).
        source: standard or paper and section.

    Raises:
        FpsimError: the facts contradict each other.

    >>> IntFormat(name="int8", bits=8).lo, IntFormat(name="int8", bits=8).hi
    (-127, 127)
    """

    name: str = field(compare=False)
    bits: int
    signed: bool = True
    full: bool = False
    fraction_bits: int = 0
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise FpsimError(f"format {self.name!r}: bits is {self.bits}; integers have 2 to 16")
        if not 0 <= self.fraction_bits <= 64:
            raise FpsimError(f"format {self.name!r}: fraction_bits is {self.fraction_bits}; 0 to 64 are possible")
        if self.full and not self.signed:
            raise FpsimError(f"format {self.name!r}: an unsigned integer always uses its full range; drop 'full'")

    @property
    def lo(self) -> int:
        """Smallest integer."""
        return -(1 << (self.bits - 1)) + (not self.full) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def grid(self) -> IntFormat:
        """The integers themselves."""
        return replace(self, fraction_bits=0) if self.fraction_bits else self

    def scale(self, width: int = 32) -> float:
        """The factor between grid and values, ``2^−fraction_bits``."""
        return float(self.unit)

    @property
    def unit(self) -> Fraction:
        """Value of the integer 1."""
        return Fraction(1, 1 << self.fraction_bits)

    @property
    def max(self) -> Fraction:
        """Largest value."""
        return self.hi * self.unit
