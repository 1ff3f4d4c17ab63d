"""Where results change: every boundary of a format under a conversion, asked from the specification.

Values come from ``exact.decode``. Who wins between two neighbours, and where overflow begins, is found by asking
``exact.encode`` where a rounding rule can change its mind: just above the lower neighbour, in the middle, just below
the upper one. Nothing is shared with the tables of the codec's backends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from fpsim.conformance.grid import Floats, first_numbers, following, grid, number, points, values_at
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, Rounding
from fpsim.number.exact import decode, encode

#: Wider formats have too many pairs to ask about each; pairs of the same kind are asked once.
ASKED_BITS = 9
_TINY = Fraction(1, 1 << 8192)


class Place(IntEnum):
    """From where on a number becomes the upper of two neighbours."""

    ABOVE_LOW = 0
    AT_MIDDLE = 1
    ABOVE_MIDDLE = 2
    AT_HIGH = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Boundaries:
    """``t`` becomes ``results[searchsorted(thresholds, t, side="right")]``; the outer results are those of ±Inf."""

    thresholds: Floats
    results: Floats


@lru_cache(maxsize=256)
def boundaries(fmt: ElementFormat, how: Conversion, width: int) -> Boundaries:
    """Return the boundaries of a deterministic conversion at a working width.

    Args:
        fmt: an element format of up to 16 bits; its integer-bias grid is meant.
        how: any rounding mode but stochastic, any overflow policy that the format has a code for.
        width: 32 or 64.
    """
    dtype: type[np.floating] = np.float32 if width == 32 else np.float64
    table = grid(fmt)
    inner = np.choose(
        np.array(_places(fmt, how.rounding)),
        [
            first_numbers(table.points[:-1], dtype, inclusive=False),
            first_numbers(table.middles, dtype, inclusive=True),
            first_numbers(table.middles, dtype, inclusive=False),
            first_numbers(table.points[1:], dtype, inclusive=True),
        ],
    )
    ends = _lower_end(fmt.grid, how, dtype), _upper_end(fmt.grid, how, dtype)
    low, high = (number(fmt, encode(fmt.grid, x, how), width) for x in (-math.inf, math.inf))
    return Boundaries(
        thresholds=np.concatenate([ends[0], inner, ends[1]]).astype(dtype),
        results=np.concatenate([[low], values_at(fmt, width), [high]]).astype(dtype),
    )


@lru_cache(maxsize=256)
def _places(fmt: ElementFormat, rounding: Rounding) -> list[Place]:
    """Of each pair of neighbours; within the range the overflow policy has no say."""
    on, table, how = fmt.grid, grid(fmt), Conversion(rounding=rounding)
    asked: dict[Any, Place] = {}
    places = []
    for i, (low, high) in enumerate(pairwise(table.values)):
        odd = table.codes[i] % 2, table.codes[i + 1] % 2
        key = i if on.bits <= ASKED_BITS else (odd, low < 0, low == 0, high == 0, high > 0)
        if key not in asked:
            asked[key] = _place(low, high, _up(on, high, how))
        places.append(asked[key])
    return places


def _up(on: ElementFormat, high: Fraction, how: Conversion) -> Callable[[Fraction], bool]:
    return lambda x: decode(on, encode(on, x, how)) >= high


def _place(low: Fraction, high: Fraction, up: Callable[[Fraction], bool]) -> Place:
    """From where on, between two neighbours, ``up`` holds."""
    if up((3 * low + high) / 4):
        return Place.ABOVE_LOW
    if not up((low + 3 * high) / 4):
        return Place.AT_HIGH
    return Place.AT_MIDDLE if up((low + high) / 2) else Place.ABOVE_MIDDLE


def _upper_end(on: ElementFormat, how: Conversion, dtype: type[np.floating]) -> Floats:
    """The smallest number that overflows: +Inf where finite numbers do not."""
    if not isinstance(on, FloatFormat) or not _overflows(on, following(on), how):
        return np.array([np.inf], dtype)
    return _between(on.max, following(on), lambda x: _overflows(on, x, how), dtype)


def _lower_end(on: ElementFormat, how: Conversion, dtype: type[np.floating]) -> Floats:
    """The smallest number that does not overflow downwards: the lowest finite one where only −Inf does."""
    if isinstance(on, FloatFormat) and on.signed and _overflows(on, -following(on), how):
        return _between(-following(on), -on.max, lambda x: not _overflows(on, x, how), dtype)
    if isinstance(on, FloatFormat) and not on.signed and _overflows(on, -_TINY, how):
        return np.zeros(1, dtype)
    return np.array([np.finfo(dtype).min], dtype)


def _between(low: Fraction, high: Fraction, up: Callable[[Fraction], bool], dtype: type[np.floating]) -> Floats:
    place = _place(low, high, up)
    where = {Place.ABOVE_LOW: low, Place.AT_HIGH: high}.get(place, (low + high) / 2)
    return first_numbers(points([where]), dtype, inclusive=place in (Place.AT_MIDDLE, Place.AT_HIGH))


def _overflows(on: FloatFormat, x: Fraction, how: Conversion) -> bool:
    return not math.isfinite(decode(on, encode(on, x, how)))
