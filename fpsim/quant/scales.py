"""Scale rules: from values to scales (and zero points), one function a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, IntFormat

#: Candidates of the ``mse`` rule as fractions of the largest magnitude (Kuzmin et al. 2022; Chen et al. 2024, V-A).
CANDIDATES = np.linspace(0.1, 1.2, 111)
PERCENTILE = 99.9


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """Scales of groups, and their zero points for unsigned integers.

    Args:
        scale: ``[groups]``, float32 or float64, positive normal numbers. The format's own scale is not in it.
        zero_point: ``[groups]``, whole numbers in the same dtype, or None.
    """

    scale: NDArray[Any]
    zero_point: NDArray[Any] | None = None


def fit(x: NDArray[Any], fmt: ElementFormat, rule: str, *, name: str = "the tensor") -> Scales:
    """Return the scales of the rows of ``x`` by a rule.

    Args:
        x: ``[groups, values]``, float32 or float64, C-contiguous.
        fmt: the element format.
        rule: ``max``, ``percentile``, ``percentile:P`` or ``mse``.
        name: what errors call the tensor.

    Returns:
        A row of zeros has scale 1.

    Raises:
        FpsimError: unknown rule; NaN or Inf in ``x``; a scale that is no positive normal number.
    """
    if not np.isfinite(x).all():
        raise FpsimError(f"{name} holds NaN or Inf, so it has no scale; repair or skip it")
    bounds = _bounds(x, rule)
    if isinstance(fmt, IntFormat) and not fmt.signed:
        found = _affine(x, fmt, bounds, search=rule == "mse")
    else:
        found = _symmetric(x, fmt, bounds, search=rule == "mse")
    bad = ~(np.isfinite(found.scale) & (found.scale >= np.finfo(x.dtype).tiny))
    if bad.any():
        raise FpsimError(
            f"{name}: its scale would be {found.scale[bad][0]}, which is no positive normal {x.dtype.name}; "
            "the values are too small or too large for the format: skip it or choose a format with another bias"
        )
    return found


def is_rule(text: str) -> bool:
    """Whether :func:`fit` knows the rule."""
    kind, _, number = text.partition(":")
    return text in ("max", "mse", "percentile") or (kind == "percentile" and _percent(number) is not None)


def _percent(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 50 < value <= 100 else None


def _bounds(x: NDArray[Any], rule: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The low and high end of each row's range in float64."""
    if not is_rule(rule):
        raise FpsimError(f"scale rule {rule!r} is not one of max, percentile, percentile:P (50 < P <= 100), mse")
    if not x.shape[1]:
        return np.zeros(len(x)), np.zeros(len(x))
    if not rule.startswith("percentile"):
        return x.min(axis=1).astype(np.float64), x.max(axis=1).astype(np.float64)
    percent = _percent(rule.partition(":")[2]) or PERCENTILE
    low, high = np.percentile(x.astype(np.float64), [100 - percent, percent], axis=1)
    return low, high


def _largest(fmt: ElementFormat) -> float:
    return float(fmt.max) if isinstance(fmt, CodebookFormat) else float(fmt.grid.max) * fmt.scale(64)


def _symmetric(x: NDArray[Any], fmt: ElementFormat, bounds: Any, *, search: bool) -> Scales:
    amax = np.maximum(np.abs(bounds[0]), np.abs(bounds[1]))
    top = _largest(fmt)

    def scale(clip: NDArray[np.float64]) -> NDArray[Any]:
        ratio: NDArray[Any] = (clip / top).astype(x.dtype)
        return ratio

    if search:
        candidates = scale(amax[:, None] * CANDIDATES)
        best = _best(x, fmt, np.where(amax[:, None] == 0, x.dtype.type(1), candidates), None)
        amax = amax * CANDIDATES[best]
    return Scales(np.where(amax == 0, x.dtype.type(1), scale(amax)).astype(x.dtype))


def _affine(x: NDArray[Any], fmt: IntFormat, bounds: Any, *, search: bool) -> Scales:
    """Chen et al. 2024, equation 4, corrected: the range is extended to include 0; z = −round(min / s)."""
    low, high = np.minimum(bounds[0], 0.0), np.maximum(bounds[1], 0.0)

    def at(fraction: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        width = np.asarray((high - low)[:, None] * fraction)
        s = np.where(width == 0, 1.0, width / fmt.hi).astype(x.dtype)
        z = -np.rint(low[:, None] * fraction / s.astype(np.float64))
        return s, np.clip(z, 0, fmt.hi).astype(x.dtype)

    scale, zero_point = at(CANDIDATES if search else np.ones(1))
    best = _best(x, fmt, scale, zero_point) if search else np.zeros(len(x), np.intp)
    rows = np.arange(len(x))
    return Scales(scale[rows, best], zero_point[rows, best])


def _best(x: NDArray[Any], fmt: ElementFormat, scales: NDArray[Any], zero_points: NDArray[Any] | None) -> Any:
    """Index of each row's candidate of least squared error; the first one wins ties."""
    from fpsim.quant.mse import squared_errors

    own = x.dtype.type(fmt.scale(x.dtype.itemsize * 8))
    return np.argmin(squared_errors(x, fmt, np.ascontiguousarray(scales * own), zero_points), axis=1)


