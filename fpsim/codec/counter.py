"""The random words of :mod:`fpsim.number.counter` for whole arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpsim.number.counter import M1, M2, keys, word


def words(seed: int, first: int, count: int, bits: int) -> NDArray[np.uint32]:
    """Random numbers of ``bits`` bits for the elements from ``first`` on, as :func:`fpsim.number.counter.word`.

    >>> words(1, 5, 2, 8).tolist() == [word(1, 5, 8), word(1, 6, 8)]
    True
    """
    parts, end = [], first + count
    while first < end:
        upper = first >> 32
        stop = min(end, (upper + 1) << 32)
        parts.append(_words(*keys(seed, upper), first & 0xFFFFFFFF, stop - first, bits))
        first = stop
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.uint32), *parts])


def _words(key: int, second: int, first: int, count: int, bits: int) -> NDArray[np.uint32]:
    u = np.uint32
    x = (np.arange(count, dtype=np.uint32) + u(first)) ^ u(key)
    x ^= x >> u(16)
    x *= u(M1)
    x ^= x >> u(15)
    x ^= u(second)
    x *= u(M2)
    x ^= x >> u(16)
    return x >> u(32 - bits)


__all__ = ["word", "words"]
