"""A fused sum as a float32 pattern, compiled: truncated to the result's bits, or to fp16 with ties to even."""

from __future__ import annotations

import numpy as np
from numba import njit

from fpsim.tensorcore.lanes import (
    add,
    both,
    cast,
    either,
    largest,
    last,
    leading_zeros,
    least,
    magnitude,
    sar,
    shl,
    shr,
    sub,
)

i32 = np.int32
INFINITY, SIGN = i32(0x7F800000), i32(-(2**31))


@njit(inline="always")
def finish(total, top, bits, how):
    """Sums, in units of ``2^(top − fraction bits)``, as patterns; what is infinite or NaN stays."""
    if how[2]:
        finish_even(total, top, bits, how)
    else:
        finish_truncated(total, top, bits, how)


@njit(inline="always")
def finish_truncated(total, top, bits, how):
    fraction, kept = i32(how[0]), i32(how[1])
    for j in range(total.size):
        size = magnitude(total[j])
        unit = sub(cast(top[j], i32(0)), fraction)
        exponent = add(cast(sub(last(size), leading_zeros(size)), i32(0)), unit)
        clamped = largest(exponent, i32(-126))
        shift = sub(sub(clamped, kept), unit)
        right, left = least(largest(shift, i32(0)), i32(31)), least(largest(sub(i32(0), shift), i32(0)), i32(31))
        significand = shl(cast(shr(size, cast(right, size)), i32(0)), left)
        pattern = add(shl(add(clamped, i32(126)), i32(23)), shl(significand, sub(i32(23), kept)))
        pattern = INFINITY if exponent > i32(127) else pattern
        pattern = pattern if significand != i32(0) else i32(0)  # products beyond fp32's range may cancel
        signed = either(pattern, both(cast(sar(total[j], last(size)), i32(0)), SIGN))
        bits[j] = bits[j] if both(bits[j], INFINITY) == INFINITY else signed


@njit(inline="always")
def finish_even(total, top, bits, how):
    fraction, kept, lowest = i32(how[0]), i32(how[1]), i32(how[3])
    for j in range(total.size):
        size = cast(magnitude(total[j]), 0)
        unit = sub(cast(top[j], i32(0)), fraction)
        exponent = add(cast(sub(last(size), leading_zeros(size)), i32(0)), unit)
        low = sub(largest(exponent, lowest), kept)
        shift = sub(low, unit)
        right, left = least(largest(shift, i32(0)), i32(62)), least(largest(sub(i32(0), shift), i32(0)), i32(31))
        odd = both(shr(size, cast(right, size)), 1)
        half = sub(shr(shl(1, cast(right, size)), 1), 1 if right > i32(0) else 0)
        rounded = shr(add(add(size, half), odd if right > i32(0) else 0), cast(right, size))
        significand = shl(cast(rounded, i32(0)), left)
        length = sub(i32(32), leading_zeros(significand))
        field = add(add(low, length), i32(126))
        pattern = add(shl(sub(field, i32(1)), i32(23)), shl(significand, largest(sub(i32(24), length), i32(0))))
        pattern = pattern if significand != i32(0) else i32(0)
        pattern = INFINITY if field > i32(127 + 15) else pattern
        signed = either(pattern, both(cast(sar(total[j], last(total[j])), i32(0)), SIGN))
        bits[j] = bits[j] if both(bits[j], INFINITY) == INFINITY else signed
