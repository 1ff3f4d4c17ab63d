"""Random bits as a function of (seed, index): the same whatever the threads, chunks or device.

The two multiplications and three shifts are C. Wellons' ``lowbias32`` (hash prospector), between which half of
a 64-bit key enters each; for one key it is a permutation of the 32-bit numbers, so that over 2^32 elements
every word occurs once. The key comes from the seed and the index's upper half by SplitMix64 (Steele et al. 2014).
It is a hash for simulation, not a cipher.
"""

from __future__ import annotations

M1, M2 = 0x7FEB352D, 0x846CA68B
GOLDEN = 0x9E3779B97F4A7C15
_32, _64 = (1 << 32) - 1, (1 << 64) - 1


def mixed(z: int) -> int:
    """The finalizer of SplitMix64 on 64 bits."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _64
    return z ^ (z >> 31)


def keys(seed: int, upper: int = 0) -> tuple[int, int]:
    """Two 32-bit keys of a seed and the upper 32 bits of an index."""
    key = mixed((mixed((seed + GOLDEN) & _64) + (upper + 1) * GOLDEN) & _64)
    return key & _32, key >> 32


def word(seed: int, index: int, bits: int) -> int:
    """A random number of ``bits`` bits (1 to 32) for an element.

    Args:
        seed: 0 to 2^64 − 1.
        index: of the element in C order, 0 to 2^64 − 1.
        bits: how many; they are the upper bits of the element's 32.

    >>> [word(1, i, 8) for i in range(4)] == [word(1, i, 16) >> 8 for i in range(4)]
    True
    """
    first, second = keys(seed, index >> 32)
    x = (index & _32) ^ first
    x = ((x ^ (x >> 16)) * M1) & _32
    x = (((x ^ (x >> 15)) ^ second) * M2) & _32
    return (x ^ (x >> 16)) >> (32 - bits)
