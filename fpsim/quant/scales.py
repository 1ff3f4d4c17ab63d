"""Scale rules: from values to scales (and zero points), one function a rule."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import ElementFormat, FloatFormat, IntFormat

#: Candidates of the ``mse`` rule as fractions of the largest magnitude (Kuzmin et al. 2022; Chen et al. 2024, V-A).
CANDIDATES = np.linspace(0.1, 1.2, 111)
PERCENTILE = 99.9
RULES = "max, percentile, percentile:P (50 < P <= 100), mse, none"
#: Beyond 2^±this, squared errors could leave the range of float32.
_FAR = 40


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """Scales of groups, and their zero points for unsigned integers.

    Args:
        scale: ``[groups]``, float32 or float64, positive normal numbers. The format's own scale is not in it.
        zero_point: ``[groups]``, whole numbers in the same dtype, or None.

    Raises:
        FpsimError: anything else.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        s, z = self.scale, self.zero_point
        if not isinstance(s, np.ndarray) or s.dtype.name not in ("float32", "float64") or s.ndim != 1:
            raise FpsimError("scales are a one-dimensional NumPy array of float32 or float64, one number a group")
        if not _is_normal(s).all():
            raise FpsimError(f"{s[~_is_normal(s)][0]} cannot be a scale; scales are positive normal numbers")
        if z is not None and (not isinstance(z, np.ndarray) or z.shape != s.shape or (z != np.rint(z)).any()):
            raise FpsimError("zero points are whole numbers, one for each scale")


def _is_normal(scale: NDArray[Any]) -> NDArray[np.bool_]:
    normal: NDArray[np.bool_] = np.isfinite(scale) & (scale >= np.finfo(scale.dtype).tiny)
    return normal


def fit(x: NDArray[Any], fmt: ElementFormat, rule: str, *, name: str = "the tensor") -> Scales:
    """Return the scales of the rows of ``x`` by a rule.

    Args:
        x: ``[groups, values]``, float32 or float64, C-contiguous.
        fmt: the element format.
        rule: ``max``: the largest magnitude is the format's; ``percentile:P``: the larger magnitude of the P-th and
            the (100 − P)-th percentile is; ``percentile``: with P = 99.9; ``mse``: of 111 fractions of the largest
            magnitude, from 0.1 to 1.2, the one of least squared error; ``none``: 1, the format as it is.
        name: what errors call the tensor.

    Returns:
        A row of zeros has scale 1.

    Raises:
        FpsimError: unknown rule; NaN or Inf in ``x``; a scale that is no positive normal number.
    """
    if not is_rule(rule):
        raise FpsimError(f"scale rule {rule!r} is not one of {RULES}")
    if not np.isfinite(x).all():
        raise FpsimError(f"{name} holds NaN or Inf, so it has no scale; repair or skip it")
    if rule == "none":
        return Scales(np.ones(len(x), x.dtype))
    bounds = _bounds(x, rule)
    _check_percentiles(x, bounds, rule, name)
    with np.errstate(all="ignore"):  # what leaves the range is refused below
        if isinstance(fmt, IntFormat) and not fmt.signed:
            scale, zero_point = _affine(x, fmt, bounds, search=rule == "mse")
        else:
            scale, zero_point = _symmetric(x, fmt, bounds, search=rule == "mse"), None
    check(scale, name)
    return Scales(scale, zero_point)


def check(scale: NDArray[Any], name: str) -> None:
    """Refuse a scale that is no positive normal number.

    Raises:
        FpsimError: there is one; names the tensor.
    """
    normal = _is_normal(scale)
    if not normal.all():
        raise FpsimError(
            f"{name}: its scale would be {scale[~normal][0]}, which is no positive normal {scale.dtype.name}; "
            "the values are too small or too large for the format: skip it, or use no scale or another bias"
        )


def is_rule(text: str) -> bool:
    """Whether :func:`fit` knows the rule."""
    kind, _, number = text.partition(":")
    return text in ("max", "mse", "none", "percentile") or (kind == "percentile" and _percent(number) is not None)


def _percent(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 50 < value <= 100 else None


def _bounds(x: NDArray[Any], rule: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The low and high end of each row's range in float64."""
    if not x.shape[1]:
        return np.zeros(len(x)), np.zeros(len(x))
    if not rule.startswith("percentile"):
        return x.min(axis=1).astype(np.float64), x.max(axis=1).astype(np.float64)
    percent = _percent(rule.partition(":")[2]) or PERCENTILE
    low, high = np.percentile(x.astype(np.float64), [100 - percent, percent], axis=1)
    return low, high


def _check_percentiles(x: NDArray[Any], bounds: Any, rule: str, name: str) -> None:
    """A row of zeros has scale 1, but one with so many zeros that its percentiles are 0 has none."""
    if rule.startswith("percentile") and (x.any(axis=1) & (bounds[0] == 0) & (bounds[1] == 0)).any():
        raise FpsimError(f"{name} holds so many zeros that its {rule} is 0, which is no scale; use max or mse")


def _largest(fmt: ElementFormat) -> float:
    if not sys.float_info.min <= fmt.grid.max <= sys.float_info.max:
        raise FpsimError(f"the largest value of {fmt.name} is beyond float64; choose another bias")
    return float(fmt.grid.max) * fmt.scale(64)


def _smallest_normal(fmt: ElementFormat) -> float:
    """Smallest magnitude that a float format rounds with its full precision; inf for other formats."""
    return float(fmt.grid.min_normal) * fmt.scale(64) if isinstance(fmt, FloatFormat) else math.inf


def _symmetric(x: NDArray[Any], fmt: ElementFormat, bounds: Any, *, search: bool) -> NDArray[Any]:
    amax = whole = np.maximum(np.abs(bounds[0]), np.abs(bounds[1]))
    top = _largest(fmt)

    def scale(clip: NDArray[np.float64]) -> NDArray[Any]:
        ratio: NDArray[Any] = (clip / top).astype(x.dtype)
        return ratio

    if search:
        candidates = scale(amax[:, None] * CANDIDATES)
        best = _best(x, fmt, np.where(amax[:, None] == 0, x.dtype.type(1), candidates), None)
        amax = amax * CANDIDATES[best]
    chosen = np.where(amax == 0, x.dtype.type(1), scale(amax)).astype(x.dtype)
    # A format as wide as the working type (bfloat16) holds the values as they are, and no scale brings them to its top.
    return np.where(~_is_normal(chosen) & (whole >= _smallest_normal(fmt)), x.dtype.type(1), chosen).astype(x.dtype)


def _affine(x: NDArray[Any], fmt: IntFormat, bounds: Any, *, search: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Chen et al. 2024, equation 4, corrected: the range is extended to include 0; z = −round(min / s)."""
    low, high = np.minimum(bounds[0], 0.0), np.maximum(bounds[1], 0.0)

    def at(fraction: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        width = np.asarray((high - low)[:, None] * fraction)
        s = np.where(width == 0, 1.0, width / fmt.hi).astype(x.dtype)
        z = -np.rint(low[:, None] * fraction / s.astype(np.float64))
        return s, np.clip(np.nan_to_num(z) + 0.0, 0, fmt.hi).astype(x.dtype)

    scale, zero_point = at(CANDIDATES if search else np.ones(1))
    best = _best(x, fmt, scale, zero_point) if search else np.zeros(len(x), np.intp)
    rows = np.arange(len(x))
    return scale[rows, best], zero_point[rows, best]


def _best(x: NDArray[Any], fmt: ElementFormat, scales: NDArray[Any], zero_points: NDArray[Any] | None) -> Any:
    """Index of each row's candidate of least squared error; the first one wins ties."""
    from fpsim.quant.mse import squared_errors

    own = x.dtype.type(fmt.scale(x.dtype.itemsize * 8))
    tops = scales.astype(np.float64) * (fmt.hi if isinstance(fmt, IntFormat) else _largest(fmt))
    usable = _is_normal(scales * own) & (tops <= np.finfo(x.dtype).max)
    x, candidates = _near_one(x, np.where(usable, scales * own, own))
    errors = squared_errors(x, fmt, np.ascontiguousarray(candidates), zero_points)
    return np.argmin(np.where(usable, errors, np.inf), axis=1)


def _near_one(x: NDArray[Any], scales: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows far from 1 and their scales times a power of two: the quotients stay, and no square leaves the range."""
    exponents = np.frexp(np.abs(x).max(axis=1, initial=0))[1]
    shifts = np.where(np.abs(exponents) > _FAR, -exponents, 0)[:, None]
    if not shifts.any():
        return x, scales
    return np.ldexp(x, shifts), np.ldexp(scales, shifts)
