"""Search tables: any grid of at most 2^16 values, for every deterministic rounding mode and overflow policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import Conversion, Overflow, Rounding
from fpsim.number.exact import WIDTHS, decode
from fpsim.number.neighbours import Between, goes_away, stays_finite

#: A search table of more entries would be slower to build than to use.
TABLE_BITS = 16
_LARGEST = {width: work.max for width, work in WIDTHS.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TablePlan:
    """Boundaries and values of any grid of at most 2^16 values, ascending.

    ``t`` has the value of the last entry whose threshold is ``<= t`` (``thresholds[0]`` is −inf).
    """

    width: int
    thresholds: NDArray[np.floating]
    values: NDArray[np.floating]
    codes: NDArray[np.int64]
    keep_zero_sign: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """An entry of a table: the first number that gets it is above ``point``, or is it if inclusive."""

    point: Fraction | float
    inclusive: bool
    value: Fraction | float
    code: int


@lru_cache(maxsize=256)
def table(fmt: ElementFormat, width: int, rounding: Rounding, overflow: Overflow) -> TablePlan:
    """Return the search table of a format's grid at a working width, from the exact reference.

    Args:
        fmt: an element format of at most 16 bits.
        width: 32 or 64.
        rounding: a deterministic mode; ``stochastic`` counts as ties-to-even.
        overflow: what follows the largest and the lowest value.

    Raises:
        FpsimError: more than 16 bits.
    """
    if fmt.bits > TABLE_BITS:
        raise FpsimError(f"{fmt.name} has {fmt.bits} bits; tables go up to {TABLE_BITS}")
    nearest = Rounding.TIES_TO_EVEN if rounding is Rounding.STOCHASTIC else rounding
    how, dtype = Conversion(rounding=nearest, overflow=overflow), np.float32 if width == 32 else np.float64
    steps = list(_steps(fmt.grid, how))
    return TablePlan(
        width=width,
        thresholds=np.array([-np.inf, *(_first(step, width) for step in steps[1:])], dtype),
        values=np.array([_nearest_finite(step.value, width) for step in steps], dtype),
        codes=np.array([step.code for step in steps], np.int64),
        keep_zero_sign=isinstance(fmt, FloatFormat) and fmt.has_negative_zero,
    )


def _steps(grid: ElementFormat, how: Conversion) -> Iterator[_Step]:
    values, codes = ascending(grid)
    bottom, top = _below(grid, how), _above(grid, how)
    if bottom is not None:
        yield bottom[0]
        yield _Step(point=bottom[1], inclusive=bottom[2], value=values[0], code=codes[0])
    else:
        yield _Step(point=-np.inf, inclusive=True, value=values[0], code=codes[0])
    for i in range(1, len(values)):
        point, inclusive = _boundary(values[i - 1], codes[i - 1], values[i], codes[i], how)
        yield _Step(point=point, inclusive=inclusive, value=values[i], code=codes[i])
    if top is not None:
        yield top


def _boundary(low: Fraction, low_code: int, high: Fraction, high_code: int, how: Conversion) -> tuple[Fraction, bool]:
    """Where the upper of two neighbours begins, and whether it has that point itself."""
    falling = abs(low) > abs(high)  # then the upper one is nearer to zero
    near_is_odd = (high_code if falling else low_code) % 2 == 1
    up = goes_away(Between(distance=Fraction(1, 2), near_is_odd=near_is_odd, negative=falling), how) is not falling
    if how.rounding in (Rounding.TIES_TO_EVEN, Rounding.TIES_TO_AWAY):
        return (low + high) / 2, up
    return (low, False) if up else (high, True)


def _special(grid: FloatFormat, negative: bool) -> tuple[float, int]:
    if grid.inf_code is not None and (grid.signed or not negative):
        return (-np.inf, grid.inf_code | grid.sign_bit) if negative else (np.inf, grid.inf_code)
    return np.nan, grid.nan_code or 0


def _overflow_point(grid: FloatFormat, how: Conversion, negative: bool) -> tuple[Fraction | float, bool]:
    """The magnitude from which on the format overflows, and whether that magnitude itself does."""
    odd = grid.max_code % 2 == 1
    if how.overflow is Overflow.PROPAGATE or stays_finite(how, negative=negative, max_is_odd=odd):
        return np.inf, True
    away = goes_away(Between(distance=Fraction(1, 2), near_is_odd=odd, negative=negative), how)
    if how.rounding in (Rounding.TIES_TO_EVEN, Rounding.TIES_TO_AWAY):
        return (grid.max + grid.grid_value(grid.max_code + 1)) / 2, away
    return grid.max, False


def _above(grid: ElementFormat, how: Conversion) -> _Step | None:
    if how.overflow is Overflow.SATURATE or not isinstance(grid, FloatFormat):
        return None
    value, code = _special(grid, negative=False)
    point, inclusive = _overflow_point(grid, how, negative=False)
    return _Step(point=point, inclusive=inclusive, value=value, code=code)


def _below(grid: ElementFormat, how: Conversion) -> tuple[_Step, Fraction | float, bool] | None:
    """The lowest entry, if a special code is it, and where the lowest value begins."""
    if how.overflow is Overflow.SATURATE or not isinstance(grid, FloatFormat):
        return None
    value, code = _special(grid, negative=True)
    lowest = _Step(point=-np.inf, inclusive=True, value=value, code=code)
    if not grid.signed and how.overflow is Overflow.SPECIAL:
        return lowest, Fraction(0), True  # every negative number is out of range
    if not grid.signed:
        return lowest, -np.inf, False
    point, inclusive = _overflow_point(grid, how, negative=True)
    return lowest, -point, not inclusive


def ascending(grid: ElementFormat) -> tuple[list[Fraction], list[int]]:
    """The finite values that rounding can give, in ascending order, and their codes."""
    pairs: dict[Fraction, int] = {}
    for code in range(len(grid.values) if isinstance(grid, CodebookFormat) else 1 << grid.bits):
        if isinstance(grid, IntFormat) and code == 1 << (grid.bits - 1) and grid.signed and not grid.full:
            continue  # the code that a symmetric integer format leaves unused
        value = decode(grid, code)
        if isinstance(value, Fraction):
            pairs.setdefault(value, code)  # of ±0, +0 comes first
    order = sorted(pairs)
    return order, [pairs[v] for v in order]


def _first(step: _Step, width: int) -> float:
    """Smallest number of the working width that gets an entry; inf if none does but inf itself."""
    dtype = np.float32 if width == 32 else np.float64
    near = dtype(_nearest_finite(step.point, width))
    with np.errstate(over="ignore"):
        while near < np.inf and (_exact(near) < step.point or (not step.inclusive and _exact(near) == step.point)):
            near = np.nextafter(near, dtype(np.inf))
    return float(near)


def _exact(number: np.floating) -> Fraction | float:
    return Fraction(float(number)) if np.isfinite(number) else float(number)


def _nearest_finite(value: Fraction | float, width: int) -> float:
    """``value``, of at most 53 significant bits, in the working width, saturating; a float (±inf, nan) as it is."""
    if isinstance(value, float):
        return value
    largest = _LARGEST[width]
    return float((np.float32 if width == 32 else np.float64)(float(max(min(value, largest), -largest))))
