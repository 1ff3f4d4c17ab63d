"""How a format is rounded fast: the constants of the three formulations, derived from the format once.

* magic: adding and subtracting ``2^(e + F − m)`` (F: mantissa bits of the working width) rounds to ``m``
  mantissa bits with ties to even; four additions and comparisons that every SIMD unit has.
* integer: the same on the bit pattern, for formats whose magic number would overflow, without mantissa
  bits (whose even code the magic sum does not see) or without subnormals.
* table: binary search over the exact boundaries, for everything else.

All three are exact; tests hold them to :mod:`fpsim.number.exact`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.exact import WIDTHS, decode

#: A search table of more entries would be slower to build than to use.
TABLE_BITS = 16
_LARGEST = {width: work.max for width, work in WIDTHS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicPlan:
    """Constants of the magic and integer formulations on the integer-bias grid, for one working width.

    ``drop`` is the number of mantissa bits that rounding removes; ``emin_field`` and ``shift`` are emin and
    drop as they stand in the exponent field of the working width; ``small`` is the magic number of magnitudes
    below ``min_normal``; ``parity`` is 1 where the even code has an odd binary exponent (formats without
    mantissa bits); ``zero`` is −0.0, or +0.0 where results have no −0.
    """

    width: int
    drop: int
    emin_field: int
    shift: int
    max: float
    min_normal: float
    small: float
    parity: int
    zero: float
    integer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearPlan:
    """Constants of the integers: ``rint(clamp(t, lo, hi))``, −0 becoming +0."""

    width: int
    lo: float
    hi: float


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


Plan = MagicPlan | LinearPlan | TablePlan


@lru_cache(maxsize=1024)
def plan(fmt: ElementFormat, width: int) -> Plan:
    """Return the fastest exact formulation of a format's integer-bias grid at a working width.

    Args:
        fmt: an element format (a real bias counts as its floor; the scale is the caller's).
        width: 32 or 64.

    Raises:
        FpsimError: more than 8 exponent bits at width 32, or an odd format too wide for a table.
    """
    if isinstance(fmt, IntFormat):
        return LinearPlan(width=width, lo=float(fmt.lo), hi=float(fmt.hi))
    if isinstance(fmt, FloatFormat):
        grid, work = fmt.grid, WIDTHS[width]
        if fmt.exponent_bits > work.exponent_bits or fmt.mantissa_bits > work.mantissa_bits:
            raise FpsimError(f"{fmt.name} is wider than float{width}; give float64 values")
        fits = grid.emin >= work.emin and max(grid.emax, grid.emin + work.mantissa_bits) <= work.emax
        if grid.signed and fits and grid.max_code >= 1 << grid.mantissa_bits:
            return _magic(grid, work)
    if fmt.bits > TABLE_BITS:
        raise FpsimError(
            f"{fmt.name} reaches beyond float{width} and is too wide for a table of its {1 << fmt.bits} values"
        )
    return table(fmt, width)


def _magic(grid: FloatFormat, work: FloatFormat) -> MagicPlan:
    drop = work.mantissa_bits - grid.mantissa_bits
    # The sum below min_normal must have the ulp of the subnormals, or of min_normal without them.
    small = grid.emin + (drop if grid.subnormals else work.mantissa_bits)
    overflow = grid.emax + drop > work.emax
    return MagicPlan(
        width=work.bits,
        drop=drop,
        emin_field=(grid.emin + int(work.bias)) << work.mantissa_bits,
        shift=drop << work.mantissa_bits,
        max=float(grid.max),
        min_normal=float(grid.min_normal),
        small=float(Fraction(2) ** small),
        # The code of 2^e is e + bias; binary32 and binary64 store e + work.bias.
        parity=(int(grid.bias) - int(work.bias)) % 2 if grid.mantissa_bits == 0 else 0,
        zero=-0.0 if grid.has_negative_zero else 0.0,
        integer=overflow or drop == 0 or grid.mantissa_bits == 0 or not grid.subnormals,
    )


@lru_cache(maxsize=256)
def table(fmt: ElementFormat, width: int) -> TablePlan:
    """Return the search table of a format's grid at a working width, from the exact reference.

    Raises:
        FpsimError: more than 16 bits.
    """
    if fmt.bits > TABLE_BITS:
        raise FpsimError(f"{fmt.name} has {fmt.bits} bits; tables go up to {TABLE_BITS}")
    grid, dtype = fmt.grid, np.float32 if width == 32 else np.float64
    values, codes = _ascending(grid)
    thresholds = [-np.inf]
    for i in range(1, len(values)):
        tie_goes_up = _tie_goes_up(values[i - 1], codes[i - 1], values[i], codes[i])
        thresholds.append(_first_beyond((values[i - 1] + values[i]) / 2, inclusive=tie_goes_up, width=width))
    return TablePlan(
        width=width,
        thresholds=np.array(thresholds, dtype),
        values=np.array([_nearest_finite(v, width) for v in values], dtype),
        codes=np.array(codes, np.int64),
        keep_zero_sign=isinstance(grid, FloatFormat) and grid.has_negative_zero,
    )


def _tie_goes_up(low: Fraction, low_code: int, high: Fraction, high_code: int) -> bool:
    if low_code % 2 == high_code % 2 == 0:  # zero and the smallest normal, without subnormals
        return abs(high) < abs(low)
    return high_code % 2 == 0


def _ascending(grid: ElementFormat) -> tuple[list[Fraction], list[int]]:
    pairs: dict[Fraction, int] = {}
    for code in range(len(grid.values) if isinstance(grid, CodebookFormat) else 1 << grid.bits):
        if isinstance(grid, IntFormat) and code == 1 << (grid.bits - 1) and grid.signed and not grid.full:
            continue  # the code that a symmetric integer format leaves unused
        value = decode(grid, code)
        if isinstance(value, Fraction):
            pairs.setdefault(value, code)  # of ±0, +0 comes first
    order = sorted(pairs)
    return order, [pairs[v] for v in order]


def _first_beyond(middle: Fraction, *, inclusive: bool, width: int) -> float:
    """Smallest number of the working width that is ``> middle``, or ``>= middle`` if inclusive; inf if none is."""
    dtype = np.float32 if width == 32 else np.float64
    near = dtype(_nearest_finite(middle, width))
    with np.errstate(over="ignore"):
        while np.isfinite(near) and (Fraction(float(near)) < middle or (not inclusive and float(near) == middle)):
            near = np.nextafter(near, dtype(np.inf))
    return float(near)


def _nearest_finite(value: Fraction, width: int) -> float:
    """``value``, of at most 53 significant bits, in the working width, saturating."""
    largest = _LARGEST[width]
    return float((np.float32 if width == 32 else np.float64)(float(max(min(value, largest), -largest))))
