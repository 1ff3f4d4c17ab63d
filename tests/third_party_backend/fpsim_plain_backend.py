"""A codec backend in a few lines: list the format's values, halve the gaps, search.

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
    low = np.minimum(np.searchsorted(middles, t, side="left"), len(values) - 1)
    high = np.minimum(np.searchsorted(middles, t, side="right"), len(values) - 1)
    # At a tie the even code wins; if both are even (beside zero, without subnormals) the smaller magnitude.
    closer = np.abs(values[high]) < np.abs(values[low])
    up = np.where(even[low] & even[high], closer, even[high])
    g = values[np.where(up, high, low)].astype(t.dtype)
    if getattr(grid, "has_negative_zero", False):
        g = np.where(g == 0, np.copysign(g, t), g)
    return np.where(np.isnan(t), t, g)


@lru_cache(maxsize=64)
def _table(grid):
    """The format's finite values, ascending, and whether their codes are even (of +0 and −0 the former's)."""
    codes = {}
    for code in range(len(grid.values) if isinstance(grid, CodebookFormat) else 1 << grid.bits):
        value = float(decode(grid, code, width=64))
        if np.isfinite(value):
            codes.setdefault(value, code)
    values = sorted(codes)
    return np.array(values), np.array([codes[v] % 2 == 0 for v in values])
