"""A codec backend in thirty lines: list the format's values, halve the gaps, search.

A package offers it by an entry point of the group ``fpsim.backends``; then ``backend="plain"`` works everywhere.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from fpsim.number import CodebookFormat, IntFormat
from fpsim.number.exact import decode


class PlainBackend:
    """Rounds NumPy arrays by binary search; follows ``fpsim.codec.protocol.Backend``."""

    name = "plain"
    arrays = "numpy"

    def quantize(self, x, fmt, scale, out, zero_point=None):
        """Write ``s · g`` into ``out``, where g is the grid value nearest ``x / s``."""
        with np.errstate(all="ignore"):
            t = x / scale
            if isinstance(fmt, IntFormat):
                z = 0 if zero_point is None else zero_point
                g = np.rint(np.minimum(np.maximum(t, fmt.lo - z), fmt.hi - z)) + 0.0
            else:
                g = _nearest(t, fmt.grid)
            out[...] = g.astype(x.dtype) * scale


def _nearest(t, grid):
    values, even = _table(grid)
    middles = (values[:-1] + values[1:]) / 2
    below = np.searchsorted(middles, t, side="left")
    tie = np.searchsorted(middles, t, side="right") != below
    # At a tie the even code wins; next to zero it is zero.
    odd = tie & ~even[below]
    g = values[np.minimum(below + odd, len(values) - 1)].astype(t.dtype)
    if getattr(grid, "has_negative_zero", False):
        g = np.where(g == 0, np.copysign(g, t), g)
    return np.where(np.isnan(t), t, g)


@lru_cache(maxsize=64)
def _table(grid):
    count = len(grid.values) if isinstance(grid, CodebookFormat) else 1 << grid.bits
    codes = {decode(grid, code, width=64): code for code in reversed(range(count))}
    finite = sorted((float(value), code) for value, code in codes.items() if np.isfinite(float(value)))
    merged = {value: code for value, code in reversed(finite)}  # of +0 and -0 the lower code
    values = np.array(sorted(merged))
    even = np.array([merged[v] % 2 == 0 for v in values])
    smallest = np.min(np.abs(values[values != 0]))
    if 0.0 in merged and not getattr(grid, "subnormals", True):
        even &= np.abs(values) != smallest
    return values, even
