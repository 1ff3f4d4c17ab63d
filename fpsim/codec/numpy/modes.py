"""Every rounding mode and policy in NumPy; the other twins are this formulation in other words.

A normal number is rounded on its bit pattern: ``drop`` bits go, and a rule of the mode says whether the rest goes up
by one unit. A number below the smallest normal is rounded by the magic sum, whose exact residual says the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.plan import ModePlan
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding

Floats = NDArray[np.floating]
Bits = NDArray[np.signedinteger[Any]]
Flags = NDArray[np.bool_]


def by_mode(t: Floats, p: ModePlan, how: Conversion, thresholds: Bits | None) -> Floats:
    """Round quotients to a float format's grid.

    Args:
        t: float32 or float64.
        p: the format's constants for ``how``.
        how: mode and policies.
        thresholds: for stochastic rounding 2^random_bits less each element's random number.
    """
    i = np.dtype(f"i{t.dtype.itemsize}").type
    pattern = np.abs(t).view(i)
    infinity = i(_infinity(t.dtype))
    clamped, negative = np.minimum(pattern, i(p.clamp)), np.signbit(t)
    normal = _on_pattern(clamped, p, how, negative, thresholds, i)
    below = _by_residual(
        clamped.view(t.dtype), p.small, p.unit, how.rounding, negative, _reach(p.lift, p.lift2, t.dtype, thresholds)
    )
    g = np.where(clamped >= i(p.min_normal), normal, below.view(i))
    if how.overflow is Overflow.SPECIAL:
        stays = _stays(how.rounding, p, negative) & (pattern < infinity)
        g = np.where(g > i(p.max), np.where(stays, i(p.max), i(p.special)), g)
    elif how.overflow is Overflow.PROPAGATE:
        g = np.where(pattern == infinity, i(p.special), g)
    signed = np.copysign(g.view(t.dtype), t)
    nan = np.asarray(p.nan, i).view(t.dtype)
    return np.where(pattern > infinity, nan, signed)


def linear_by_mode(t: Floats, lo: Floats, hi: Floats, how: Conversion, thresholds: Bits | None) -> Floats:
    """Round quotients to the integers between ``lo`` and ``hi``; arguments as in :func:`by_mode`."""
    inside, negative = np.clip(t, lo, hi), np.signbit(t)
    reach = _reach(2.0**how.random_bits, 1.0, t.dtype, thresholds)
    magic = 2.0 ** np.finfo(t.dtype).nmant
    g = np.copysign(_by_residual(np.abs(inside), magic, 1.0, how.rounding, negative, reach), inside)
    nan = {NanPolicy.KEEP: t, NanPolicy.MAX: hi}.get(how.nan, t.dtype.type(0))
    return np.where(np.isnan(t), nan, g + t.dtype.type(0))


def _infinity(dtype: np.dtype[np.floating]) -> int:
    return 0x7F800000 if dtype.itemsize == 4 else 0x7FF0000000000000


def _stays(mode: Rounding, p: ModePlan, negative: Flags) -> Any:
    """Whether a finite number beyond the maximum becomes it under ``special``."""
    return {
        Rounding.TOWARD_ZERO: np.True_,
        Rounding.TOWARD_POSITIVE: negative,
        Rounding.TOWARD_NEGATIVE: ~negative,
        Rounding.TO_ODD: np.bool_(p.stays),
    }.get(mode, np.False_)


def _away(mode: Rounding, negative: Flags) -> Any:
    """Whether a directed mode leads away from zero."""
    return {Rounding.TOWARD_POSITIVE: ~negative, Rounding.TOWARD_NEGATIVE: negative}.get(mode, np.False_)


def _on_pattern(a: Bits, p: ModePlan, how: Conversion, negative: Flags, thresholds: Bits | None, i: Any) -> Bits:
    unit = 1 << p.drop
    rest, odd = a & i(unit - 1), ((a >> i(p.drop)) ^ i(p.parity)) & i(1)
    half = max(unit >> 1, 1)  # without dropped bits the rest is 0 and never reaches it
    if how.rounding is Rounding.TIES_TO_EVEN:
        up = rest + odd > half
    elif how.rounding is Rounding.TIES_TO_AWAY:
        up = rest >= half
    elif how.rounding is Rounding.TO_ODD:
        up = (rest != 0) & (odd == 0)
    elif thresholds is not None:
        up = (rest << i(p.left)) >= (thresholds.astype(i) << i(p.right))
    else:
        up = (rest != 0) & _away(how.rounding, negative)
    return np.asarray(a - rest + up * i(unit))


def _reach(
    lift: float, lift2: float, dtype: np.dtype[np.floating], thresholds: Bits | None
) -> Callable[[Floats], Flags] | None:
    """Whether a distance from the lower neighbour reaches an element's threshold; every product is exact."""
    if thresholds is None:
        return None
    return lambda distance: np.asarray(distance * dtype.type(lift) * dtype.type(lift2) >= thresholds)


def _by_residual(
    a: Floats, small: float, unit: float, mode: Rounding, negative: Flags, reach: Callable[[Floats], Flags] | None
) -> Floats:
    """Round magnitudes to multiples of ``unit``; adding ``small`` does it to nearest even."""
    real = a.dtype.type
    total = a + real(small)
    g = total - real(small)
    if mode is Rounding.TIES_TO_EVEN:
        return g
    rest, one = a - g, real(unit)
    if mode is Rounding.TIES_TO_AWAY:
        return np.asarray(g + np.where((rest == real(unit / 2)) & (rest > 0), one, real(0)))
    low = g - np.where(rest < 0, one, real(0))
    distance = a - low
    if mode is Rounding.TO_ODD:
        odd = (total.view(f"i{a.dtype.itemsize}") & 1) ^ (rest < 0)
        up = (distance > 0) & (odd == 0)
    elif reach is not None:
        up = reach(distance)
    else:
        up = (distance > 0) & _away(mode, negative)
    return np.asarray(low + np.where(up, one, real(0)))
