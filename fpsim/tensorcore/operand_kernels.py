"""Takes float32 numbers of a format apart, compiled: NumPy's passes over all operands cost more than their sums."""

from __future__ import annotations

import numpy as np
from numba import njit

from fpsim.tensorcore.lanes import add, both, either, largest, least, sar, shl, shr, sub, xor

i32 = np.int32
#: What a number is, beside 0 for a finite one of the format, and 1 and −1 for infinities.
NAN, WRONG = np.int8(2), np.int8(3)


@njit
def take_apart(bits, facts, significand, exponent):
    """Fill the significands and exponents of numbers; return 0 if all are finite numbers of the format.

    Args:
        bits: float32 patterns [N].
        facts: the format's least exponent, mantissa bits and largest finite pattern, whether it has NaN and Inf, and
            the exponent of zeros; int32.
        significand, exponent: int32 [N].
    """
    zero, odd = i32(facts[5]), i32(0)
    for j in range(bits.size):
        kept, power, lost = parts(bits[j], facts)
        odd = either(odd, lost)
        sign = sar(bits[j], i32(31))
        significand[j] = sub(xor(kept, sign), sign)
        exponent[j] = power if kept != i32(0) else zero
    return odd


@njit
def classify(bits, facts, significand, exponent, kind):
    """Fill the kinds of numbers of which some are odd; what is not finite has the significand 0.

    Args:
        bits, facts, significand, exponent: as above.
        kind: int8 [N]: 0 finite, ±1 infinite, `NAN`, or `WRONG` for a number that the format does not hold.
    """
    for j in range(bits.size):
        size = both(bits[j], i32(0x7FFFFFFF))
        kind[j] = WRONG if parts(bits[j], facts)[2] else np.int8(0)
        if size >= i32(0x7F800000):
            significand[j], exponent[j] = i32(0), i32(facts[5])
            sign = np.int8(-1) if bits[j] < i32(0) else np.int8(1)
            held, found = (facts[3], NAN) if size > i32(0x7F800000) else (facts[4], sign)
            kind[j] = found if held else WRONG


@njit(inline="always")
def parts(pattern, facts):
    """The significand's magnitude and its exponent, and 0 unless the format lacks the number."""
    lowest, places, top = i32(facts[0]), i32(facts[1]), i32(facts[2])
    size = both(pattern, i32(0x7FFFFFFF))
    field = shr(size, i32(23))
    mantissa = either(both(size, i32(0x7FFFFF)), i32(0) if field == i32(0) else i32(0x800000))
    own = sub(largest(field, i32(1)), i32(127))
    power = largest(own, lowest)
    drop = least(add(sub(i32(23), places), sub(power, own)), i32(31))
    kept = shr(mantissa, drop)
    lost = either(xor(shl(kept, drop), mantissa), i32(1) if size > top else i32(0))
    return kept, power, lost
