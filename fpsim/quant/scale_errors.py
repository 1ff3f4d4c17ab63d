"""Squared errors of one tensor at very many scales."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.ordinals import ladder

Floats = NDArray[np.float64]
ErrorsAt = Callable[[Floats], Floats]
#: Formats of at most this many bits are summed between their rounding boundaries, wider ones value by value.
FEW = 10
#: Sums of sorted values cancel to this part of the signal's energy (130 dB below it); what is smaller counts as 0.
_NOTHING = 1e-13


def errors_of(x: Floats, fmt: ElementFormat) -> ErrorsAt:
    """Return a function from scales to ``Σ (x − s · round(x / s))²``; inf where s is no positive normal number.

    With few values the sums between rounding boundaries come from running sums of the sorted tensor: after one sort
    a scale costs a few searches instead of a pass.

    Args:
        x: one-dimensional, finite, no larger than about 1.
        fmt: an element format; scales are without its own.

    >>> from fpsim.number.names import format
    >>> errors_of(np.array([0.25, -1.0]), format("int4"))(np.array([1.0, 0.25, 0.125]))
    array([0.0625  , 0.      , 0.015625])
    """
    inner = _by_boundaries(x, fmt) if fmt.bits <= FEW else _by_values(x, fmt)

    def errors(scales: Floats) -> Floats:
        own = scales * fmt.scale(64)
        usable = np.isfinite(own) & (own >= np.finfo(np.float64).tiny)
        found = inner(np.where(usable, own, 1.0))
        return np.where(usable & np.isfinite(found), found, np.inf)

    return errors


def _by_boundaries(x: Floats, fmt: ElementFormat) -> ErrorsAt:
    steps = ladder(fmt.grid)
    values = np.array([float(steps.value(i)) for i in steps.ordinals])
    boundaries = values[:-1] / 2 + values[1:] / 2
    ordered = np.sort(x)
    sums, squares = (np.concatenate([[0.0], np.cumsum(part)]) for part in (ordered, ordered * ordered))
    floor = _NOTHING * squares[-1]

    def errors(scales: Floats) -> Floats:
        found = np.empty(len(scales))
        for index, scale in enumerate(scales):
            inner = np.searchsorted(ordered, boundaries * scale)
            ends = np.concatenate([[0], inner, [len(ordered)]])
            near = values * scale
            total = np.diff(squares[ends]) - 2 * near * np.diff(sums[ends]) + near * near * np.diff(ends)
            found[index] = total.sum()
        return np.where(found < floor, 0.0, found)

    return errors


def _by_values(x: Floats, fmt: ElementFormat) -> ErrorsAt:
    rows = np.ascontiguousarray(x)[None]

    def errors(scales: Floats) -> Floats:
        from fpsim.quant.mse import squared_errors

        found: Floats = squared_errors(rows, fmt, np.ascontiguousarray(scales)[None])[0]
        return found

    return errors


def largest(fmt: ElementFormat) -> float:
    """Return the largest magnitude of a format in float64, its own scale included.

    Raises:
        FpsimError: it is beyond float64.
    """
    if not sys.float_info.min <= fmt.grid.max <= sys.float_info.max:
        raise FpsimError(f"the largest value of {fmt.name} is beyond float64; choose another bias")
    return float(fmt.grid.max) * fmt.scale(64)
