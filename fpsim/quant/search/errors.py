"""Squared errors of symmetric grids at many scales, from sorted magnitudes.

A value goes to the nearest level, so the boundaries are the midpoints of neighbouring levels; a value on a boundary has
the same error on both sides, so no tie rule matters. Grids are ideal: levels times a float64 scale, without the
rounding to a working width that :func:`fpsim.quantize` adds (at most 2^−21 of a value).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.numba.threads import run
from fpsim.errors import FpsimError
from fpsim.number import ElementFormat
from fpsim.number.ordinals import ladder
from fpsim.quant.search import kernels
from fpsim.quant.search.magnitudes import Floats, Magnitudes

#: The widest format whose levels are listed.
WIDEST = 16
#: Running sums and the terms of an error cancel; what is left is uncertain by this part of the sums.
_UNCERTAIN = 2.0**-46


def levels(fmt: ElementFormat) -> Floats:
    """Return the magnitudes of a symmetric format's grid in ascending order, without its own scale.

    Raises:
        FpsimError: a format whose values are not symmetric about 0, or of more than 16 bits.

    >>> from fpsim.number.names import format
    >>> levels(format("e2m1")).tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    """
    if fmt.bits > WIDEST:
        raise FpsimError(f"{fmt.name} has {fmt.bits} bits; errors of all its values are found up to {WIDEST} bits")
    steps = ladder(fmt.grid)
    values = [steps.value(i) for i in steps.ordinals]
    if values != [-value for value in reversed(values)]:
        raise FpsimError(f"the values of {fmt.name} are not symmetric about 0, but the search takes magnitudes only")
    found = np.array([float(value) for value in values if value >= 0])
    if not np.isfinite(found).all():
        raise FpsimError(f"the largest value of {fmt.name} is beyond float64; choose another bias")
    return found


def errors_at(m: Magnitudes, fmt: ElementFormat, scales: Floats) -> Floats:
    """Return ``Σ (x − s · round(x / s))²`` of each row at each scale.

    Args:
        m: from :func:`fpsim.quant.search.magnitudes.magnitudes`.
        fmt: a symmetric format; its own scale (of a real bias) is multiplied in.
        scales: ``[rows, candidates]``, positive.

    Returns:
        ``[rows, candidates]``; exact up to about 2^−46 of the row's energy.
    """
    near = np.ldexp(np.asarray(scales, np.float64) * fmt.scale(64), -m.exponent[:, None])
    found = squared_errors(m, [levels(fmt)], near[:, None])[:, 0]
    return np.asarray(np.ldexp(found, 2 * m.exponent[:, None]))


def squared_errors(m: Magnitudes, grids: Sequence[Floats], scales: Floats) -> Floats:
    """The same for several grids of :func:`levels` at once, in the units of the normalized magnitudes.

    Args:
        m: the magnitudes.
        grids: levels of each grid.
        scales: ``[rows, grids, candidates]``.

    Returns:
        Like ``scales``.
    """
    errors = np.empty(scales.shape)
    starts = np.cumsum([0, *map(len, grids)])
    bounds = np.concatenate([np.append(midpoints(grid), np.inf) for grid in grids])
    packed = (np.concatenate(grids), bounds, starts)
    run(
        kernels.grid_errors,
        m.values,
        *(m.heads, m.counts, m.sums, m.energy, m.step, packed, np.ascontiguousarray(scales), errors),
    )
    return np.maximum(errors, 0.0, out=errors)


def uncertainty(m: Magnitudes, tops: Floats) -> Floats:
    """By how much :func:`squared_errors` may be wrong where the largest level times the scale is ``tops``."""
    found: Floats = _UNCERTAIN * (m.energy[:, None] + m.sums[:, -1:] * tops)
    return found


def single_errors(m: Magnitudes, grid: Floats, rows: NDArray[np.int64], scales: Floats) -> Floats:
    """The errors of some pairs of a row and a scale, in one pass over the values each: nothing cancels."""
    rows, scales = np.ascontiguousarray(rows), np.ascontiguousarray(scales)  # one compilation for all layouts
    parts = np.empty((len(rows), -(-m.values.shape[1] // kernels.CHUNK)))
    run(kernels.value_errors, m.values, m.counts, m.step, grid, midpoints(grid), rows, scales, parts)
    found: Floats = parts.sum(axis=1) + m.within[rows]
    return found


def midpoints(grid: Floats) -> Floats:
    """Return the boundaries between neighbouring levels."""
    return grid[:-1] / 2 + grid[1:] / 2
