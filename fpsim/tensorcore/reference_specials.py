"""The specification of infinities and NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

_Numbers = Sequence[float]


def special_sum(a: _Numbers, b: _Numbers, scale_a: _Numbers, scale_b: _Numbers, c: float) -> float | None:
    """Return what a group's sum is if a term is not finite, else None.

    NaN where an operand, a scale or the accumulator is NaN, where 0 meets Inf, and where infinities of both signs
    meet; otherwise the infinity. Finite products overflow nothing here: they are exact.
    """
    if any(math.isnan(x) for x in (*a, *b, *scale_a, *scale_b, c)):
        return math.nan
    infinite = [c] if math.isinf(c) else []
    for x, y in zip(a, b, strict=True):
        if math.isinf(x) or math.isinf(y):
            if x == 0 or y == 0:
                return math.nan
            infinite.append(math.copysign(math.inf, x) * math.copysign(1, y))
    if not infinite:
        return None
    return infinite[0] if len(set(infinite)) == 1 else math.nan
