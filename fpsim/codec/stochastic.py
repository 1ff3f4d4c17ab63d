"""Stochastic rounding to grids without steps of a power of two (codebooks, odd formats), exactly.

The distance from a neighbour in units of their gap is compared with a threshold in float64; where its rounding error
could decide, and for a number beyond the grid's ends, the exact specification is asked.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.tables import ascending
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion
from fpsim.number.exact import decode, encode

Floats = NDArray[np.floating]
#: Relative error of the comparison's roundings, with much to spare.
_DOUBT = 2.0**-48


def round_any(t: Floats, fmt: ElementFormat, how: Conversion, words: NDArray[np.uint32]) -> Floats:
    """Round quotients stochastically to any grid of at most 2^16 values.

    Args:
        t: float32 or float64; NaN gives NaN.
        fmt: the element format.
        how: the conversion.
        words: each element's random number, of the shape of ``t``.
    """
    values, wide = _values(fmt), np.where(np.isnan(t), 0, t).astype(np.float64)
    if values is None:
        result, doubtful = wide, ~np.isnan(t)
    else:
        result, doubtful = _compared(wide, values, float(1 << how.random_bits), words)
        doubtful &= ~np.isnan(t)
    for place in zip(*np.nonzero(doubtful), strict=True):
        result[place] = _asked(float(t[place]), fmt, how, int(words[place]))
    largest = np.finfo(t.dtype).max
    held = np.where(np.isfinite(result), np.clip(result, -largest, largest), result)
    signed = isinstance(fmt, FloatFormat) and fmt.has_negative_zero
    zero = np.copysign(0.0, t) if signed else np.zeros_like(held)
    return np.where(np.isnan(t), t, np.where(held == 0, zero, held)).astype(t.dtype)


@lru_cache(maxsize=64)
def _values(fmt: ElementFormat) -> NDArray[np.float64] | None:
    """The grid in ascending order; None where float64 does not hold it exactly."""
    exact = ascending(fmt.grid)[0]
    try:
        values = np.array([float(value) for value in exact])
    except OverflowError:
        return None
    return values if all(a == b for a, b in zip(values.tolist(), exact, strict=True)) else None


def _compared(
    t: Floats, values: NDArray[np.float64], steps: float, words: NDArray[np.uint32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The chosen neighbour of each number, and where the choice is in doubt or the number beyond the grid."""
    index = np.clip(np.searchsorted(values, t, side="right") - 1, 0, len(values) - 2)
    low, high = values[index], values[index + 1]
    falling = np.abs(low) > np.abs(high)
    near, far = np.where(falling, high, low), np.where(falling, low, high)
    with np.errstate(all="ignore"):
        excess = np.abs(t - near) / (high - low) * steps - (steps - words)
    beyond, on_it = (t < values[0]) | (t > values[-1]), t == near
    result = np.where(on_it | ~(excess >= 0), near, far)
    return result, beyond | (~on_it & ~(np.abs(excess) > steps * _DOUBT))


def _asked(t: float, fmt: ElementFormat, how: Conversion, word: int) -> float:
    return float(decode(fmt.grid, encode(fmt.grid, t, how, word=word), width=64))
