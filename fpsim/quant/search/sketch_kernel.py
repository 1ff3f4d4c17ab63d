"""The compiled loop of the sketch: which bin a float32 magnitude falls into, and what it leaves there."""

from __future__ import annotations

from numba import njit

#: Low bits of a float32 magnitude that a bin does not tell apart: 2^10 bins a power of two.
LOW_BITS = 13
BINS = 1 << (31 - LOW_BITS)


@njit(nogil=True)
def add_values(patterns, counts, lows, squares):
    """Count bit patterns in their bins; sum their low bits there, and the squares of these for each exponent.

    Args:
        patterns: uint32, sign bits ignored.
        counts, lows: int64 ``[BINS]``, added to.
        squares: int64 ``[256]``, added to.
    """
    for pattern in patterns:
        bits = int(pattern) & 0x7FFFFFFF
        low = bits & ((1 << LOW_BITS) - 1)
        counts[bits >> LOW_BITS] += 1
        lows[bits >> LOW_BITS] += low
        squares[bits >> 23] += low * low
