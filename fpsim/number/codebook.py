"""Formats given by the list of their values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True)
class CodebookFormat:
    """A format whose code is the index into an ascending list of values.

    Args:
        name: what outputs call it; not part of the format's identity.
        values: at least 2 finite values, strictly ascending, at most 65,536.
        source: standard or paper and section.

    Raises:
        FpsimError: too few, too many, not finite or not ascending values.

    >>> CodebookFormat(name="ternary", values=(-1.0, 0.0, 1.0)).bits
    2
    """

    name: str = field(compare=False)
    values: tuple[float, ...]
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        values = tuple(float(v) for v in self.values)
        object.__setattr__(self, "values", values)
        if not 2 <= len(values) <= 65536:
            raise FpsimError(f"codebook {self.name!r} has {len(values)} values; it needs 2 to 65536")
        if not all(map(math.isfinite, values)):
            raise FpsimError(f"codebook {self.name!r} holds a value that is not finite; list finite numbers only")
        if any(a >= b for a, b in pairwise(values)):
            raise FpsimError(f"codebook {self.name!r}: the values must ascend strictly; sort them and drop repeats")

    @property
    def bits(self) -> int:
        """Width of a code in bits."""
        return (len(self.values) - 1).bit_length()

    @property
    def grid(self) -> CodebookFormat:
        """The format itself: a codebook has no scale of its own."""
        return self

    def scale(self, width: int = 32) -> float:
        """Always 1."""
        return 1.0

    @property
    def max(self) -> Fraction:
        """Largest magnitude."""
        return max(abs(Fraction(self.values[0])), abs(Fraction(self.values[-1])))
