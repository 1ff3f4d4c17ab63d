"""Which of two neighbours a number becomes: every rounding mode as one rule on exact fractions."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from fpsim.number.conversion import Conversion, Rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """A number strictly between two neighbours of a grid.

    Args:
        distance: from the neighbour nearer to zero, in units of their gap; more than 0, less than 1.
        near_is_odd: whether the code of that neighbour is odd.
        negative: whether the number is.
    """

    distance: Fraction
    near_is_odd: bool
    negative: bool


def goes_away(place: Between, how: Conversion, word: int = 0) -> bool:
    """Whether the neighbour further from zero is chosen.

    Where both neighbours have even codes (zero and the smallest normal of a format without subnormals) a tie
    goes to zero, and to-odd to the smallest normal, which at least is not zero.

    Args:
        place: where the number lies.
        how: the rounding mode.
        word: for stochastic rounding a number from 0 to 2^random_bits − 1.

    Source: IEEE 754-2019, section 4.3; stochastic as StochasticA of the IEEE P3109 draft: the random number is
    added below the last kept bit and the sum is cut off.

    >>> half = Between(distance=Fraction(1, 2), near_is_odd=True, negative=False)
    >>> goes_away(half, Conversion()), goes_away(half, Conversion(rounding="toward-zero"))
    (True, False)
    """
    mode, half = how.rounding, Fraction(1, 2)
    if mode is Rounding.TIES_TO_EVEN:
        return place.distance > half or (place.distance == half and place.near_is_odd)
    if mode is Rounding.TIES_TO_AWAY:
        return place.distance >= half
    if mode is Rounding.TO_ODD:
        return not place.near_is_odd
    if mode is Rounding.STOCHASTIC:
        steps = 1 << how.random_bits
        return place.distance * steps // 1 + word >= steps
    return mode is (Rounding.TOWARD_NEGATIVE if place.negative else Rounding.TOWARD_POSITIVE)


def stays_finite(how: Conversion, *, negative: bool, max_is_odd: bool) -> bool:
    """Whether every finite number beyond the largest value becomes it, also under the overflow policy ``special``.

    So it is where rounding never leads away from zero (IEEE 754-2019, section 7.4), and to odd where the largest
    value's code is odd: the special code that follows is even.
    """
    if how.rounding is Rounding.TO_ODD:
        return max_is_odd
    if how.rounding in (Rounding.TOWARD_ZERO, Rounding.TOWARD_POSITIVE, Rounding.TOWARD_NEGATIVE):
        return not goes_away(Between(distance=Fraction(1, 2), near_is_odd=False, negative=negative), how)
    return False
