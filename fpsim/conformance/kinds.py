"""What a documented deviation makes of numbers: each kind as a change of the oracle, so that results can be checked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

import numpy as np

from fpsim.conformance.grid import Floats
from fpsim.conformance.oracle import grid_values, times
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, Overflow, Rounding


class Kind(StrEnum):
    """A way to differ from the specification, exact enough to predict the result."""

    #: Beyond the largest value, as IEEE 754 rounds: NaN.
    OVERFLOW_TO_NAN = "overflow-to-nan"
    #: Beyond the largest value, as IEEE 754 rounds: Inf.
    OVERFLOW_TO_INF = "overflow-to-inf"
    #: Beyond the largest value, Inf too: the largest value, whatever was asked for.
    OVERFLOW_SATURATES = "overflow-saturates"
    #: A float64 number is rounded to float32 first.
    THROUGH_FLOAT32 = "through-float32"
    #: NaN becomes −0, and a NaN whose sign bit is set +0.
    NAN_TO_NEGATIVE_ZERO = "nan-to-negative-zero"
    #: ±0 becomes NaN.
    ZERO_TO_NAN = "zero-to-nan"
    #: Negative numbers become NaN.
    NEGATIVE_TO_NAN = "negative-to-nan"
    #: A negative number becomes what its magnitude becomes, except −0.
    SIGN_DROPPED = "sign-dropped"
    #: Ties go to the larger magnitude.
    TIES_TO_AWAY = "ties-to-away"
    #: Whatever lies between the two smallest powers of two becomes the larger one.
    SMALLEST_POWER_ROUNDS_UP = "smallest-power-rounds-up"


def predicted(kinds: Collection[Kind], x: Floats, fmt: ElementFormat, scale: Floats, how: Conversion) -> Floats:
    """Return what an implementation with these deviations, and no other, writes.

    Args:
        kinds: the deviations; several may apply to one number.
        x: as in ``oracle.expected``, which this equals without deviations.
        fmt: an element format.
        scale: as there.
        how: as there.
    """
    with np.errstate(all="ignore"):
        t = x / scale
        if Kind.THROUGH_FLOAT32 in kinds:
            t = t.astype(np.float32)
        return times(_on_grid(kinds, t, fmt, how).astype(x.dtype), scale)


def _on_grid(kinds: Collection[Kind], t: Floats, fmt: ElementFormat, how: Conversion) -> Floats:
    if Kind.OVERFLOW_SATURATES in kinds:
        how = replace(how, overflow=Overflow.SATURATE)
    if Kind.TIES_TO_AWAY in kinds:
        how = replace(how, rounding=Rounding.TIES_TO_AWAY)
    source = np.where(t == 0, t, np.abs(t)) if Kind.SIGN_DROPPED in kinds else t
    g = grid_values(source, fmt, how)
    for kind, special in ((Kind.OVERFLOW_TO_NAN, np.nan), (Kind.OVERFLOW_TO_INF, np.inf)):
        if kind in kinds and (source.size and isinstance(fmt, FloatFormat) and fmt.nan_code is not None):
            beyond = ~np.isfinite(grid_values(source, fmt, replace(how, overflow=Overflow.SPECIAL)))
            beyond &= (source > 0) if not fmt.signed else ~np.isnan(source)
            g = np.where(beyond, np.copysign(special, source), g)
    return _replaced(kinds, t, g, fmt).astype(t.dtype)


def _replaced(kinds: Collection[Kind], t: Floats, g: Floats, fmt: ElementFormat) -> Floats:
    if Kind.SMALLEST_POWER_ROUNDS_UP in kinds and isinstance(fmt, FloatFormat):
        least = float(fmt.grid.min_normal)
        size = np.abs(t)
        g = np.where((size > least) & (size < 2 * least), 2 * least, g)
    if Kind.ZERO_TO_NAN in kinds:
        g = np.where(t == 0, np.nan, g)
    if Kind.NEGATIVE_TO_NAN in kinds:
        g = np.where(t < 0, np.nan, g)
    if Kind.NAN_TO_NEGATIVE_ZERO in kinds:
        g = np.where(np.isnan(t), np.copysign(0.0, -np.copysign(1.0, t)), g)
    return g
