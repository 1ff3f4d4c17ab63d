"""The rules by which a block's scale follows from its largest magnitude, as constants and in NumPy.

The four power-of-two rules are one computation: the exponent of ``amax / divisor`` after adding ``nudge`` to its
bit pattern, less ``offset``. A nudge of all mantissa bits rounds the exponent up; half an ulp of the element's
mantissa makes values that would round into the next binade count to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, FloatFormat, IntFormat, ScaleRule
from fpsim.number.exact import WIDTHS

#: Magnitudes below 2^−60 are first multiplied by 2^64, so that no exponent is read from a subnormal.
TINY, LIFT = 2.0**-60, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRule:
    """Constants of a power-of-two rule at a working width; ``lo`` and ``hi`` bound the exponent."""

    divisor: float
    nudge: int
    offset: int
    lo: int
    hi: int


@lru_cache(maxsize=256)
def power_rule(fmt: BlockFormat, width: int) -> PowerRule:
    """Return the constants of a block format's power-of-two scale rule.

    Raises:
        FpsimError: the rule ``even`` with a codebook, which has no mantissa.
    """
    mantissa = WIDTHS[width].mantissa_bits
    top = fmt.element.max
    emax = top.numerator.bit_length() - top.denominator.bit_length()
    emax -= top < (1 << emax if emax >= 0 else 1 / (1 << -emax))
    divisor, nudge, offset = 1.0, 0, emax
    if fmt.rule is ScaleRule.EVEN:
        nudge = 1 << (mantissa - _element_mantissa(fmt) - 1)
    elif fmt.rule is not ScaleRule.FLOOR:
        nudge = (1 << mantissa) - 1
    if fmt.rule is ScaleRule.RCEIL:
        divisor, offset = float(top), 0
    # Beyond this the largest element times the scale overflows the working width.
    hi = min(fmt.scale.emax, WIDTHS[width].emax - emax)
    return PowerRule(divisor=divisor, nudge=nudge, offset=offset, lo=fmt.scale.emin, hi=hi)


def _element_mantissa(fmt: BlockFormat) -> int:
    if isinstance(fmt.element, FloatFormat):
        return fmt.element.mantissa_bits
    if isinstance(fmt.element, IntFormat):
        return fmt.element.hi.bit_length() - 1
    raise FpsimError(
        f"{fmt.name}: scale rule 'even' needs a mantissa width, which a codebook lacks; use floor or rceil"
    )


def power_exponents(amax: NDArray[np.floating], rule: PowerRule) -> NDArray[np.int64]:
    """Exponent of each block's scale.

    Args:
        amax: largest magnitudes, finite, float32 or float64.
        rule: from :func:`power_rule`.
    """
    work = WIDTHS[amax.dtype.itemsize * 8]
    small = amax < TINY
    lifted = amax * np.where(small, amax.dtype.type(2.0**LIFT), amax.dtype.type(1))
    pattern = (lifted / amax.dtype.type(rule.divisor)).view(f"i{amax.dtype.itemsize}")
    field = (pattern + rule.nudge) >> work.mantissa_bits
    exponent = field.astype(np.int64) - int(work.bias) - np.where(small, LIFT, 0) - rule.offset
    clipped: NDArray[np.int64] = np.clip(exponent, rule.lo, rule.hi)
    return np.where(amax == 0, rule.lo, clipped)


def tensor_scale(amax: float, fmt: BlockFormat, dtype: type[np.floating]) -> float:
    """The scale that brings a tensor's block scales into the scale format's range: amax / (scale max · element max).

    1 for a tensor of zeros; at least the smallest normal number.
    """
    if not fmt.tensor_scale or amax == 0:
        return 1.0
    full = dtype(float(fmt.scale.max * fmt.element.max))
    return float(max(dtype(amax) / full, np.finfo(dtype).tiny))
