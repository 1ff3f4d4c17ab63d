"""How values become codes: rounding mode, overflow and NaN policy, random bits; one frozen value."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from operator import index
from typing import Any

from fpsim.errors import FpsimError

#: Random bits of stochastic rounding where none are named, and the most that a float32 comparison holds exactly.
RANDOM_BITS = 24


class Rounding(StrEnum):
    """Which of the two neighbours of a number becomes its value. The grid continues beyond the largest value."""

    #: The nearer one; at a tie the one whose code is even (IEEE 754 roundTiesToEven).
    TIES_TO_EVEN = "ties-to-even"
    #: The nearer one; at a tie the one further from zero (IEEE 754 roundTiesToAway).
    TIES_TO_AWAY = "ties-to-away"
    #: The one nearer to zero.
    TOWARD_ZERO = "toward-zero"
    #: The greater one.
    TOWARD_POSITIVE = "toward-positive"
    #: The lesser one.
    TOWARD_NEGATIVE = "toward-negative"
    #: The one whose code is odd, so that a later, narrower rounding is still right (jamming, von Neumann rounding).
    TO_ODD = "to-odd"
    #: The one further from zero with probability floor(d · 2^n) / 2^n, d the distance from the other in steps.
    STOCHASTIC = "stochastic"


class Overflow(StrEnum):
    """What becomes of results beyond the largest finite value."""

    #: The largest finite value, for Inf too.
    SATURATE = "saturate"
    #: The largest finite value; but Inf becomes the format's Inf, or its NaN.
    PROPAGATE = "propagate"
    #: The format's Inf, or its NaN where it has no Inf, as IEEE 754 rounds (toward zero: the largest finite value).
    SPECIAL = "special"


class NanPolicy(StrEnum):
    """What becomes of NaN in a format without NaN; other formats always keep it."""

    #: NaN stays NaN in values; encoding it is an error.
    KEEP = "keep"
    #: What +0 becomes.
    ZERO = "zero"
    #: What −0 becomes, as in ml_dtypes.
    NEGATIVE_ZERO = "negative-zero"
    #: The largest value, as in CUDA's conversions to FP6 and FP4.
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """The policies of a conversion to a number format.

    Args:
        rounding: a :class:`Rounding` or its name.
        overflow: an :class:`Overflow` or its name.
        nan: a :class:`NanPolicy` or its name.
        random_bits: of stochastic rounding, 1 to 24.
        seed: of stochastic rounding, 0 to 2^64 − 1.

    Raises:
        FpsimError: an unknown name, or a number out of range.

    >>> Conversion(rounding="toward-zero").deterministic
    True
    """

    rounding: Rounding = Rounding.TIES_TO_EVEN
    overflow: Overflow = Overflow.SATURATE
    nan: NanPolicy = NanPolicy.KEEP
    random_bits: int = RANDOM_BITS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rounding == "nearest":
            raise FpsimError(
                "rounding 'nearest' does not say what happens to ties; choose ties-to-even (the IEEE default) "
                "or ties-to-away"
            )
        for name, kind in (("rounding", Rounding), ("overflow", Overflow), ("nan", NanPolicy)):
            object.__setattr__(self, name, _known(getattr(self, name), kind, name))
        for name in ("random_bits", "seed"):
            object.__setattr__(self, name, _whole(getattr(self, name), name))
        if not 1 <= self.random_bits <= RANDOM_BITS:
            given = self.random_bits if abs(self.random_bits) < 1 << 64 else "too large"
            raise FpsimError(f"random_bits is {given}; stochastic rounding takes 1 to {RANDOM_BITS}")
        if not 0 <= self.seed < 1 << 64:
            size = f"{self.seed.bit_length()} bits wide"  # Python does not print every integer
            raise FpsimError(f"seed is negative or too large ({size}); an integer from 0 to 2^64 - 1 is needed")

    @property
    def deterministic(self) -> bool:
        """Whether the result depends on the value alone."""
        return self.rounding is not Rounding.STOCHASTIC

    def __str__(self) -> str:
        """The policies that differ from the default, by name; ``ties-to-even, saturate`` for the default itself."""
        parts = [str(self.rounding), str(self.overflow)]
        if not self.deterministic:
            parts[0] += f" ({self.random_bits} bits, seed {self.seed})"
        if self.nan is not NanPolicy.KEEP:
            parts.append(f"NaN becomes {self.nan}")
        return ", ".join(parts)


def _known(given: object, kind: type[StrEnum], what: str) -> StrEnum:
    try:
        return kind(str(given))
    except ValueError:
        near = difflib.get_close_matches(str(given), list(kind), 1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise FpsimError(f"{what} {given!r} is not available; there are {', '.join(kind)}.{hint}") from None


def _whole(given: Any, what: str) -> int:
    """``given`` as a Python integer; NumPy's are taken, truth values are not."""
    try:
        if not isinstance(given, bool):
            return index(given)
    except TypeError:
        pass
    raise FpsimError(f"{what} is {given!r}; an integer is needed")


#: To nearest, ties to the even code, saturating, NaN kept.
DEFAULT = Conversion()

__all__ = ["DEFAULT", "RANDOM_BITS", "Conversion", "NanPolicy", "Overflow", "Rounding"]
