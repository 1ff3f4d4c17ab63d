"""How a format is rounded fast: the constants of the three formulations, derived from the format once.

* magic: adding and subtracting ``2^(e + F − m)`` (F: mantissa bits of the working width) rounds to ``m``
  mantissa bits with ties to even; four additions and comparisons that every SIMD unit has.
* integer: the same on the bit pattern, for formats whose magic number would overflow, without mantissa
  bits (whose even code the magic sum does not see) or without subnormals.
* table: binary search over the exact boundaries, for everything else.

Other rounding modes and overflow policies have the integer formulation's constants (:func:`mode_plan`) or a table
of their own boundaries. All are exact; tests hold them to :mod:`fpsim.number.exact`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from fpsim.codec.tables import TABLE_BITS, TablePlan, table
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.exact import WIDTHS, check, decode, encode


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


Plan = MagicPlan | LinearPlan | TablePlan


def plan(fmt: ElementFormat, width: int, how: Conversion = DEFAULT) -> Plan:
    """Return the fastest exact formulation of a format's integer-bias grid at a working width.

    Args:
        fmt: an element format (a real bias counts as its floor; the scale is the caller's).
        width: 32 or 64.
        how: matters for tables, whose boundaries depend on it (of stochastic rounding: to nearest).

    Raises:
        FpsimError: more than 8 exponent bits at width 32, an odd format too wide for a table, or an overflow policy
            that the format has no code for.
    """
    check(fmt, how)
    return _plan(fmt, width, how.rounding, how.overflow)


@lru_cache(maxsize=2048)
def _plan(fmt: ElementFormat, width: int, rounding: Rounding, overflow: Overflow) -> Plan:
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
    return table(fmt, width, rounding, overflow)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModePlan:
    """Constants of the integer formulation for any rounding mode and policy; bit patterns are magnitudes.

    ``clamp`` is the largest magnitude that is looked at: the maximum, or under ``special`` the value that would
    follow it; ``special`` and ``nan`` are what becomes of overflow and NaN. ``unit`` is the step below ``min_normal``,
    and ``lift`` times ``lift2`` is 2^random_bits / unit, in two factors because one might overflow. ``left`` and
    ``right`` align a normal number's dropped bits with the random ones. ``stays`` says that finite numbers beyond the
    maximum become it although the policy is ``special``; a mode of one direction decides that by the sign.
    """

    width: int
    drop: int
    parity: int
    clamp: int
    max: int
    special: int
    nan: int
    min_normal: int
    stays: int
    left: int
    right: int
    small: float
    unit: float
    lift: float
    lift2: float
    zero: float


def mode_plan(fmt: FloatFormat, p: MagicPlan, how: Conversion) -> ModePlan:
    """Return the constants of a format that has a :class:`MagicPlan`, for a conversion."""
    return _mode_plan(fmt.grid, p, how.overflow, how.nan, how.random_bits)


@lru_cache(maxsize=1024)
def _mode_plan(grid: FloatFormat, p: MagicPlan, overflow: Overflow, nan: NanPolicy, random_bits: int) -> ModePlan:
    work = WIDTHS[p.width]
    largest, infinity = _pattern(grid, p, grid.max_code), work.inf_code or 0
    quiet = infinity | 1 << (work.mantissa_bits - 1)
    kept = grid.nan_code is not None or nan is NanPolicy.KEEP
    replaced = {NanPolicy.MAX: largest, NanPolicy.NEGATIVE_ZERO: -1 << (p.width - 1)}.get(nan, 0)
    step = grid.emin - (grid.mantissa_bits if grid.subnormals else 0)
    lift = (random_bits - step) // 2
    return ModePlan(
        width=p.width,
        drop=p.drop,
        parity=p.parity,
        clamp=_pattern(grid, p, grid.max_code + 1) if overflow is Overflow.SPECIAL else largest,
        max=largest,
        special=quiet if grid.inf_code is None else infinity,
        nan=quiet if kept else replaced,
        min_normal=_pattern(grid, p, 1 << grid.mantissa_bits),
        stays=grid.max_code % 2,
        left=max(0, random_bits - p.drop),
        right=max(0, p.drop - random_bits),
        small=p.small,
        unit=2.0**step,
        lift=2.0**lift,
        lift2=2.0 ** (random_bits - step - lift),
        zero=p.zero,
    )


def _pattern(grid: FloatFormat, p: MagicPlan, code: int) -> int:
    """Bit pattern in the working width of a normal magnitude code, also of the one that follows the largest."""
    work = WIDTHS[p.width]
    return (code << p.drop) + ((int(work.bias) - int(grid.bias)) << work.mantissa_bits)


def replaced_nan(fmt: ElementFormat, width: int, how: Conversion) -> float:
    """What NaN becomes on the grid of a format that has a table, in a working width.

    The default policy is to keep it, and a format with a NaN always does.
    """
    if how.nan is NanPolicy.KEEP or (isinstance(fmt, FloatFormat) and fmt.nan_code is not None):
        return math.nan
    largest = WIDTHS[width].max
    return float(max(-largest, min(largest, decode(fmt.grid, encode(fmt.grid, math.nan, how), width=64))))


__all__ = ["LinearPlan", "MagicPlan", "ModePlan", "Plan", "TablePlan", "mode_plan", "plan", "replaced_nan"]
