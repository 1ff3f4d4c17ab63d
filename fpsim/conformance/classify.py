"""What is special about a number for a format: the class that reports name a mismatch by."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fpsim.conformance.grid import Floats, grid
from fpsim.number import ElementFormat, FloatFormat

#: A number has the first class that fits it. A tie lies within an ulp of the middle of two neighbours; double
#: rounding means that a detour through a narrower type would give another result.
CLASSES = ("nan", "inf", "signed zero", "overflow", "tie", "double rounding", "subnormal", "normal")
_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def classify(x: Floats, fmt: ElementFormat, scale: Floats | None = None) -> NDArray[np.int8]:
    """Return the class of each number as an index into :data:`CLASSES`.

    Args:
        x: float32 or float64.
        fmt: an element format.
        scale: what numbers are divided by, broadcastable with ``x``; default the format's own scale.
    """
    real, table = x.dtype.type, grid(fmt)
    with np.errstate(all="ignore"):
        t = x / (real(fmt.scale(8 * x.dtype.itemsize)) if scale is None else scale)
        tests = [
            np.isnan(t),
            np.isinf(t),
            t == 0,
            (t > table.points.numbers[-1]) | (t < table.points.numbers[0]),
            _near_tie(t, table.middles.numbers),
            _moves_twice(t, table.middles.numbers),
            _below_normal(t, fmt),
        ]
    return np.select(tests, range(len(tests)), len(tests)).astype(np.int8)


def _near_tie(t: Floats, middles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a middle lies between the number's two neighbours, them included."""
    real = t.dtype.type
    below = _place(middles, np.nextafter(t, real(-np.inf)), "left")
    return np.asarray(below != _place(middles, np.nextafter(t, real(np.inf)), "right"))


def _moves_twice(t: Floats, middles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether rounding to a narrower type that holds all middles moves the number onto a middle or across one."""
    moved = np.zeros(t.shape, np.bool_)
    for narrow in (np.float16, np.float32):
        exact = (middles.astype(narrow).astype(np.float64) == middles).all()
        if exact and np.dtype(narrow).itemsize < t.dtype.itemsize:
            through: Floats = t.astype(narrow)
            for side in _SIDES:
                moved |= _place(middles, t, side) != _place(middles, through, side)
    return moved


def _place(middles: NDArray[np.float64], t: Floats, side: Literal["left", "right"]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.searchsorted(middles, t.astype(np.float64), side=side)
    return found


def _below_normal(t: Floats, fmt: ElementFormat) -> NDArray[np.bool_]:
    least = float(fmt.grid.min_normal) if isinstance(fmt, FloatFormat) else 0.0
    return np.asarray(np.abs(t) < least)
