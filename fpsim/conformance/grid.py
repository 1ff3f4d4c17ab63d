"""The values of a format and the places between them, exactly, as arrays to search."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.exact import WIDTHS, decode, to_width

Floats = NDArray[np.floating]
#: Wider formats have too many values to list.
MOST_BITS = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Points:
    """Ascending exact numbers: the smallest float64 that is not below each, and whether it is equal to it."""

    numbers: NDArray[np.float64]
    exact: NDArray[np.bool_]

    def __getitem__(self, part: slice) -> Points:
        """The points of a slice."""
        return Points(numbers=self.numbers[part], exact=self.exact[part])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """The finite values of a format's integer-bias grid, ascending, their codes and the middles between them."""

    values: tuple[Fraction, ...]
    codes: tuple[int, ...]
    points: Points
    middles: Points


@lru_cache(maxsize=64)
def grid(fmt: ElementFormat) -> Grid:
    """Return the values that rounding to a format can give.

    Raises:
        FpsimError: more than 16 bits.
    """
    if fmt.bits > MOST_BITS:
        raise FpsimError(
            f"{fmt.name} has {fmt.bits} bits, but conformance lists all values of a format: choose one of at most "
            f"{MOST_BITS} bits"
        )
    on, found = fmt.grid, dict[Fraction, int]()
    for code in range(len(on.values) if isinstance(on, CodebookFormat) else 1 << on.bits):
        value = decode(on, code, width=64)
        if isinstance(value, Fraction) and not (isinstance(on, IntFormat) and value < on.lo):
            found.setdefault(value, code)
    values = tuple(sorted(found))
    middles = points((low + high) / 2 for low, high in pairwise(values))
    return Grid(values=values, codes=tuple(found[v] for v in values), points=points(values), middles=middles)


def points(numbers: Iterable[Fraction]) -> Points:
    """Return ascending fractions as :class:`Points`."""
    pairs = [_not_below(number) for number in numbers]
    return Points(numbers=np.array([p[0] for p in pairs], np.float64), exact=np.array([p[1] for p in pairs], np.bool_))


def _not_below(number: Fraction) -> tuple[float, bool]:
    try:
        near = float(number)
    except OverflowError:
        return (math.inf if number > 0 else float(np.finfo(np.float64).min)), False
    if number == Fraction(near):
        return near, True
    return (near if near > number else math.nextafter(near, math.inf)), False


def first_numbers(places: Points, dtype: type[np.floating], *, inclusive: bool) -> Floats:
    """Return the smallest number of a type that is not below (``inclusive``), or above, each place."""
    with np.errstate(over="ignore"):
        near = places.numbers.astype(dtype)
    wide = near.astype(np.float64)
    late = (wide < places.numbers) | ((wide == places.numbers) & places.exact & (not inclusive))
    found: Floats = np.where(late, np.nextafter(near, dtype(np.inf)), near)
    return found


@lru_cache(maxsize=128)
def values_at(fmt: ElementFormat, width: int) -> Floats:
    """Return the grid's values in a working width; beyond its range, the nearest finite number."""
    table, dtype = grid(fmt), np.float32 if width == 32 else np.float64
    if table.points.exact.all():
        most = float(np.finfo(dtype).max)
        return np.clip(table.points.numbers, -most, most).astype(dtype)
    return np.array([to_width(WIDTHS[width], value) for value in table.values], dtype)


def number(fmt: ElementFormat, code: int, width: int) -> float:
    """Return a code's grid value in a working width: ±inf, NaN, or the nearest finite number."""
    value = decode(fmt.grid, code, width=width)
    return value if isinstance(value, float) else to_width(WIDTHS[width], value)


def following(fmt: FloatFormat) -> Fraction:
    """Return the grid value that would follow the largest one if the grid had no end."""
    return fmt.grid_value(fmt.max_code + 1)
