"""Stochastic rounding of whole arrays by its exact rule: away from zero where floor(d · 2^n) + word >= 2^n."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.conformance.grid import Floats, following, grid, number, values_at
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, Overflow
from fpsim.number.counter import M1, M2, keys
from fpsim.number.exact import encode

#: Quotients in float64 are off by less than 2^−24 at 24 bits; nearer than this to an integer, fractions decide.
_DOUBT = 2.0**-16


def words(seed: int, count: int, bits: int) -> NDArray[np.int64]:
    """Return ``counter.word(seed, i, bits)`` for ``i`` in 0 … count − 1 (below 2^32)."""
    first, second = keys(seed)
    x = np.arange(count, dtype=np.uint32) ^ np.uint32(first)
    x = (x ^ (x >> np.uint32(16))) * np.uint32(M1)
    x = ((x ^ (x >> np.uint32(15))) ^ np.uint32(second)) * np.uint32(M2)
    return ((x ^ (x >> np.uint32(16))) >> np.uint32(32 - bits)).astype(np.int64)


def stochastic(t: Floats, fmt: ElementFormat, how: Conversion) -> Floats:
    """Return the grid values of ``t`` (no NaN) in C order of its elements; zeros have no sign yet.

    Args:
        t: float32 or float64, any shape.
        fmt: an element format; its integer-bias grid is meant.
        how: a stochastic conversion.

    Raises:
        FpsimError: a grid beyond float64.
    """
    width = 8 * t.dtype.itemsize
    if not grid(fmt).points.exact.all():
        raise FpsimError(f"{fmt.name} has values beyond float64, so stochastic rounding of arrays has no oracle")
    values, results = _extended(fmt, how, width)
    wide = t.ravel().astype(np.float64)
    i = np.clip(np.searchsorted(values, wide, side="right") - 1, 0, len(values) - 2)
    low, high = values[i], values[i + 1]
    # A codebook's nearer neighbour is the one of smaller magnitude, whatever the number's own sign.
    falling = np.abs(low) > np.abs(high) if isinstance(fmt, CodebookFormat) else wide < 0
    near, far = np.where(falling, (high, low), (low, high))
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        away = _steps(wide, near, far, how.random_bits, fmt) + words(how.seed, wide.size, how.random_bits)
    up = (away >= 1 << how.random_bits) ^ falling
    index = i + np.where(wide <= low, 0, np.where(wide >= high, 1, up))
    found = results[index]
    lowest, highest = (number(fmt, encode(fmt.grid, x, how), width) for x in (-math.inf, math.inf))
    found = np.where(np.isinf(wide), np.where(wide > 0, highest, lowest), found)
    if isinstance(fmt, FloatFormat) and not fmt.signed and how.overflow is Overflow.SPECIAL:
        found = np.where(wide < 0, lowest, found)
    return found.astype(t.dtype).reshape(t.shape)


def _extended(fmt: ElementFormat, how: Conversion, width: int) -> tuple[NDArray[np.float64], Floats]:
    """The grid in float64 and as results; where overflow is special, it goes on by one step at each end."""
    values, results = grid(fmt).points.numbers, values_at(fmt, width)
    if how.overflow is not Overflow.SPECIAL or not isinstance(fmt, FloatFormat):
        return values, results
    beyond = float(following(fmt.grid))
    special = [number(fmt, encode(fmt.grid, x, how), width) for x in (-math.inf, math.inf)]
    values, results = np.append(values, beyond), np.append(results, special[1])
    if fmt.signed:
        values, results = np.insert(values, 0, -beyond), np.insert(results, 0, special[0])
    return values, results


def _steps(t: Any, near: Any, far: Any, bits: int, fmt: ElementFormat) -> NDArray[np.int64]:
    """floor(d · 2^bits), d the distance from ``near`` in units of the gap.

    In floating-point formats and integers the gap is a power of two, and every operation here is exact.
    """
    quotient = np.minimum(np.abs(t - near) / np.abs(far - near), 1.0) * float(1 << bits)
    found = np.floor(np.nan_to_num(quotient))
    if isinstance(fmt, CodebookFormat):
        inside = np.isfinite(t) & (np.abs(t - near) < np.abs(far - near))
        for i in np.flatnonzero(inside & (np.abs(quotient - np.rint(quotient)) < _DOUBT)):
            start, end = Fraction(float(near[i])), Fraction(float(far[i]))
            found[i] = (Fraction(float(t[i])) - start) / (end - start) * (1 << bits) // 1
    steps: NDArray[np.int64] = found.astype(np.int64)
    return steps
