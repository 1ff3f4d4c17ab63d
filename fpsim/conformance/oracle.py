"""The exact reference for whole arrays: any element format, conversion and working width.

It is what the specification on fractions says, written a second time: boundary tables asked from it, and one search.
"""

from __future__ import annotations

import math

import numpy as np

from fpsim.conformance.boundaries import boundaries
from fpsim.conformance.grid import Floats, number
from fpsim.conformance.stochastic import stochastic
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy
from fpsim.number.exact import check, encode


def expected(
    x: Floats, fmt: ElementFormat, scale: Floats, how: Conversion = DEFAULT, zero_point: Floats | None = None
) -> Floats:
    """Return what a backend must write: t = x / s, one IEEE division; g on the grid; y = s · g, one product.

    Args:
        x: float32 or float64, the working width, ``[rows, columns]``.
        fmt: an element format of up to 16 bits, whose own scale is in ``scale``.
        scale: ``[rows or 1, columns or 1]``, dtype of ``x``, positive.
        how: rounding mode, overflow and NaN policy; element i in C order takes the counter's word i.
        zero_point: for unsigned integers, like ``scale``: integers from lo − z to hi − z.

    Raises:
        FpsimError: a format of more than 16 bits, or a policy that it has no code for.
    """
    check(fmt, how)
    with np.errstate(all="ignore"):
        t = x / scale
        g = grid_values(t, fmt, how) if zero_point is None else _shifted(t, fmt, how, zero_point)
    return times(g, scale)


def times(g: Floats, scale: Floats) -> Floats:
    """Return the IEEE product of grid values and scales, as the protocol has it: beyond the working width it is Inf."""
    with np.errstate(all="ignore"):
        y: Floats = g * scale
    return y


def grid_values(t: Floats, fmt: ElementFormat, how: Conversion = DEFAULT) -> Floats:
    """Return the grid values of quotients."""
    width = 8 * t.dtype.itemsize
    numbers = np.where(np.isnan(t), t.dtype.type(0), t)
    if how.deterministic:
        table = boundaries(fmt, how, width)
        g = table.results[np.searchsorted(table.thresholds, numbers, side="right")]
    else:
        g = stochastic(numbers, fmt, how)
    if isinstance(fmt, FloatFormat) and fmt.has_negative_zero:
        g = np.where(g == 0, np.copysign(g, t), g)
    return np.where(np.isnan(t), _nan(fmt, how, width), g).astype(t.dtype)


def _nan(fmt: ElementFormat, how: Conversion, width: int) -> float:
    """What NaN becomes."""
    has_nan = isinstance(fmt, FloatFormat) and fmt.nan_code is not None
    return math.nan if has_nan or how.nan is NanPolicy.KEEP else number(fmt, encode(fmt.grid, math.nan, how), width)


def _shifted(t: Floats, fmt: ElementFormat, how: Conversion, zero_point: Floats) -> Floats:
    """Integers less a zero point: rounded as signed integers of one more bit, which reach from lo − z to hi − z."""
    if not isinstance(fmt, IntFormat) or fmt.signed:
        raise FpsimError(f"{fmt.name} takes no zero point; unsigned integers do")
    signed = IntFormat(name=f"int{fmt.bits + 1}-full", bits=fmt.bits + 1, full=True)
    low, high = fmt.lo - zero_point, fmt.hi - zero_point
    g = grid_values(np.clip(t, low, high), signed, how)
    return np.where(np.isnan(t) & (how.nan is NanPolicy.MAX), high, g).astype(t.dtype)
