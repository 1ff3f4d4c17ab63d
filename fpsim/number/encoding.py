"""The specification of encoding: from a number to the code that it becomes, one rule a function."""

from __future__ import annotations

import math
from bisect import bisect_right
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number.codebook import CodebookFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy, Overflow
from fpsim.number.floats import FloatFormat
from fpsim.number.ints import IntFormat
from fpsim.number.neighbours import Between, goes_away, stays_finite

Element = FloatFormat | IntFormat | CodebookFormat


def encode(fmt: Element, x: Fraction | float, how: Conversion = DEFAULT, *, word: int = 0) -> int:
    """Return the code that ``x`` becomes on the integer-bias grid.

    Args:
        fmt: an element format; a real bias counts as its floor, the caller divides by the scale.
        x: a Fraction, or a float, which may be ±inf, nan or −0.0.
        how: rounding mode, overflow and NaN policy.
        word: the random number of stochastic rounding, below 2^random_bits.

    Raises:
        FpsimError: ``x`` is NaN, the format has no NaN and the NaN policy is to keep it; an overflow policy that
            needs an Inf or NaN which the format lacks.
    """
    check(fmt, how)
    if isinstance(x, float) and math.isnan(x):
        return _nan(fmt, how)
    negative = math.copysign(1, x) < 0 if isinstance(x, float) else x < 0
    if isinstance(fmt, CodebookFormat):
        return _among(fmt.values, x, how, word)
    if isinstance(fmt, IntFormat):
        return _integer(fmt, x, negative, how, word)
    if negative and not fmt.signed:
        nan = fmt.nan_code
        return 0 if x == 0 or nan is None or not _leaves(how, x) else nan
    magnitude = encode_magnitude(fmt, -x if negative else x, how, negative=negative, word=word)
    if magnitude == fmt.nan_code:
        return magnitude
    if negative and (magnitude or fmt.has_negative_zero):
        return magnitude | fmt.sign_bit
    return magnitude


def check(fmt: Element, how: Conversion) -> None:
    """Refuse an overflow policy that the format has no code for.

    Raises:
        FpsimError: the policy is ``special`` or ``propagate`` and the format has neither Inf nor NaN.
    """
    if how.overflow is Overflow.SATURATE or (isinstance(fmt, FloatFormat) and fmt.nan_code is not None):
        return
    raise FpsimError(
        f"{fmt.name} has neither Inf nor NaN, so overflow '{how.overflow}' has no code to give; choose saturate"
    )


def _leaves(how: Conversion, x: Fraction | float) -> bool:
    """Whether an unsigned format has NaN for the negative ``x``: always, or with ``propagate`` only for −Inf."""
    infinite = isinstance(x, float) and math.isinf(x)
    return how.overflow is Overflow.SPECIAL or (how.overflow is Overflow.PROPAGATE and infinite)


def _nan(fmt: Element, how: Conversion) -> int:
    code = fmt.nan_code if isinstance(fmt, FloatFormat) else None
    if code is not None:
        return code
    if how.nan is NanPolicy.KEEP:
        raise FpsimError(
            f"{fmt.name} has no NaN code, so NaN cannot be encoded; choose a format with NaN or another NaN policy "
            "(zero, max)"
        )
    if how.nan is NanPolicy.MAX:
        return encode(fmt, math.inf)
    return encode(fmt, -0.0 if how.nan is NanPolicy.NEGATIVE_ZERO else 0.0)


def encode_magnitude(
    fmt: FloatFormat, x: Fraction | float, how: Conversion = DEFAULT, *, negative: bool = False, word: int = 0
) -> int:
    """Return the magnitude code of ``x >= 0``, which may be inf; the code of Inf or NaN where it overflows so."""
    skipped = 0 if fmt.subnormals or not fmt.zero else (1 << fmt.mantissa_bits) - 1

    def code(ordinal: int) -> int:
        return ordinal + skipped if ordinal else 0  # without subnormals their codes are not used

    if x > fmt.max:
        return _beyond(fmt, x, how, negative, word)
    count = fmt.max_code - skipped + 1
    above = bisect_right(range(count), x, key=lambda i: fmt.grid_value(code(i)))
    near = code(max(above - 1, 0))
    low = fmt.grid_value(near)
    if above in (0, count) or low == x:
        return near
    distance = (Fraction(x) - low) / (fmt.grid_value(code(above)) - low)
    away = goes_away(Between(distance=distance, near_is_odd=near % 2 == 1, negative=negative), how, word)
    return code(above) if away else near


def _beyond(fmt: FloatFormat, x: Fraction | float, how: Conversion, negative: bool, word: int) -> int:
    """The code of a magnitude beyond the largest finite value, where the grid goes on as if it had no end."""
    special = fmt.nan_code if fmt.inf_code is None else fmt.inf_code
    if how.overflow is Overflow.SATURATE or special is None:
        return fmt.max_code
    if isinstance(x, float) and math.isinf(x):
        return special
    odd = fmt.max_code % 2 == 1
    if how.overflow is Overflow.PROPAGATE or stays_finite(how, negative=negative, max_is_odd=odd):
        return fmt.max_code
    distance = (Fraction(x) - fmt.max) / (fmt.grid_value(fmt.max_code + 1) - fmt.max)
    if distance >= 1:
        return special
    away = goes_away(Between(distance=distance, near_is_odd=odd, negative=negative), how, word)
    return special if away else fmt.max_code


def _integer(fmt: IntFormat, x: Fraction | float, negative: bool, how: Conversion, word: int) -> int:
    t = Fraction(max(min(x, fmt.max), fmt.lo * fmt.unit)) / fmt.unit
    near, rest = divmod(abs(t), 1)
    if rest and goes_away(Between(distance=rest, near_is_odd=near % 2 == 1, negative=negative), how, word):
        near += 1
    return int(-near if negative else near) & ((1 << fmt.bits) - 1)


def _among(values: tuple[float, ...], x: Fraction | float, how: Conversion, word: int) -> int:
    """The index that ``x`` becomes in a codebook; of two neighbours the smaller magnitude, or the lower, is near."""
    above = bisect_right(values, x)
    if above in (0, len(values)) or values[above - 1] == x:
        return max(above - 1, 0)
    falling = abs(values[above - 1]) > abs(values[above])
    near, far = (above, above - 1) if falling else (above - 1, above)
    low = Fraction(values[near])
    distance = (Fraction(x) - low) / (Fraction(values[far]) - low)
    return (
        far if goes_away(Between(distance=distance, near_is_odd=near % 2 == 1, negative=falling), how, word) else near
    )
