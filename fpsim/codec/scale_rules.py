"""The rules by which a block's scale follows from its largest magnitude, as constants and in NumPy.

The four power-of-two rules are one computation: the exponent of ``amax / divisor`` after adding ``nudge`` to its
bit pattern, less ``offset``. A nudge of all mantissa bits rounds the exponent up; half an ulp of the element's
mantissa makes values that would round into the next binade count to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
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
    emax = _exponent(top)
    divisor, nudge, offset = 1.0, 0, emax
    if fmt.rule is ScaleRule.EVEN:
        nudge = 1 << (mantissa - _element_mantissa(fmt) - 1)
    elif fmt.rule is not ScaleRule.FLOOR:
        nudge = (1 << mantissa) - 1
    if fmt.rule is ScaleRule.RCEIL:
        divisor, offset = float(top), 0
    # Beyond these the scale, or the largest element times the scale, leaves the working width.
    work, widest = WIDTHS[width], max(0, _exponent(_lowest(fmt)), emax)
    lo, hi = max(fmt.scale.emin, work.emin - 1), min(fmt.scale.emax, work.emax - widest)
    return PowerRule(divisor=divisor, nudge=nudge, offset=offset, lo=lo, hi=hi)


def _exponent(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= value else exponent - 1


def _lowest(fmt: BlockFormat) -> Fraction:
    """Magnitude of the lowest element: with the most negative code an integer reaches further than its maximum."""
    return -fmt.element.lo * fmt.element.unit if isinstance(fmt.element, IntFormat) else fmt.element.max


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

    1 for a tensor of zeros; at least the smallest normal number; small enough that nothing overflows.
    """
    if not fmt.tensor_scale or amax == 0:
        return 1.0
    top, widest = dtype(float(fmt.scale.max)), dtype(float(fmt.element.max))
    whole = max(dtype(amax) / dtype(float(fmt.scale.max * fmt.element.max)), np.finfo(dtype).tiny)
    with np.errstate(over="ignore"):
        while not np.isfinite(top * whole * widest):
            whole = np.nextafter(whole, dtype(0))
    return float(whole)


def smallest_scale(fmt: BlockFormat) -> float:
    """The lowest positive value of the scale format; a block that rounds to 0 takes it, since 0 / 0 would be NaN."""
    return float(fmt.scale.min_subnormal or fmt.scale.min_normal)
