"""Q-Diffusion's scale rules for integers: affine with a zero point, symmetric, and unsigned without an offset."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import IntFormat
from fpsim.quant.scales import Scales, check

RULES = ("mse", "max")
#: The search of the ``mse`` rule shrinks both ends of the range by these factors.
SHRINKS = 1 - 0.01 * np.arange(80)
#: Its error is the mean of ``|x − x̂|`` to this power.
EXPONENT = 2.4
#: Weight of the past in the moving average of a range.
MOMENTUM = 0.95

Array = NDArray[Any]


def fit_affine(x: Array, fmt: IntFormat, rule: str, *, name: str = "the tensor") -> Scales:
    """Return scales and zero points of the rows of ``x``: q = clamp(round(x / d) + z, 0, 2^b − 1), x̂ = (q − z) · d.

    Args:
        x: ``[groups, values]``, float32 or float64.
        fmt: an unsigned integer.
        rule: ``max``: the range of each row, extended to include 0. ``mse``: of 80 ranges, the row's own with both
            ends times f = 1, 0.99 … 0.21, the first of least mean |x − x̂|^2.4; a row of one value is taken as ``max``
            does it.
        name: what errors call the tensor.

    Raises:
        FpsimError: a signed format, another rule, NaN or Inf, or a scale that is no positive normal number.

    Source: Q-Diffusion's released code (section A1 of the project's notes).

    >>> found = fit_affine(np.array([[-1.0, 2.0]]), IntFormat(name="uint2", bits=2, signed=False), "max")
    >>> found.scale.tolist(), found.zero_point.tolist()
    ([1.0], [1.0])
    """
    if fmt.signed:
        raise FpsimError(f"{fmt.name} is signed and has no zero point; asymmetric ranges need an unsigned format")
    _check(x, rule, name)
    low, high = _ends(x)
    flat = (low == high) | (rule == "max")
    low, high = np.where(flat, np.minimum(low, 0), low), np.where(flat, np.maximum(high, 0), high)
    if rule == "max":
        return affine_range(low, high, fmt, dtype=x.dtype, name=name)
    chosen = _search(x, fmt, lambda f: _affine(low * f, high * f, fmt, x.dtype))
    return _scales(*_affine(low * chosen, high * chosen, fmt, x.dtype), name)


def fit_symmetric(x: Array, fmt: IntFormat, rule: str, *, name: str = "the tensor") -> Scales:
    """Return scales of the rows of ``x`` with zero point 0: x̂ = d · clamp(round(x / d), lo, hi).

    ``intN-full`` is Q-Diffusion's symmetric activation quantizer; ``uintN`` is the one for the output of a softmax,
    whose values are never negative, so that all codes are used.

    Args:
        x: ``[groups, values]``, float32 or float64.
        fmt: any integer format.
        rule: ``max``: d is the largest magnitude over hi. ``mse``: of 80 fractions of it, as :func:`fit_affine`.
        name: what errors call the tensor.

    Raises:
        FpsimError: another rule, NaN or Inf, or a scale that is no positive normal number.
    """
    _check(x, rule, name)
    low, high = _ends(x)
    amax = np.maximum(high, 0) if not fmt.signed else np.maximum(np.abs(low), np.abs(high))
    if rule == "mse":
        amax = amax * _search(x, fmt, lambda f: _symmetric(amax * f, fmt, x.dtype))
    return _scales(*_symmetric(amax, fmt, x.dtype), name)


def affine_range(low: Array, high: Array, fmt: IntFormat, *, dtype: Any, name: str = "the tensor") -> Scales:
    """Return scales and zero points of given ranges, extended to include 0."""
    return _scales(*_affine(np.minimum(low, 0), np.maximum(high, 0), fmt, dtype), name)


def symmetric_range(amax: Array, fmt: IntFormat, *, dtype: Any, name: str = "the tensor") -> Scales:
    """Return scales of given largest magnitudes, with zero point 0."""
    return _scales(*_symmetric(np.asarray(amax, np.float64), fmt, dtype), name)


def _check(x: Array, rule: str, name: str) -> None:
    if rule not in RULES:
        raise FpsimError(f"scale rule {rule!r} is not one of {', '.join(RULES)}")
    if not np.isfinite(x).all():
        raise FpsimError(f"{name} holds NaN or Inf, so it has no scale; repair or skip it")


def _ends(x: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not x.shape[1]:
        return np.zeros(len(x)), np.zeros(len(x))
    return x.min(axis=1).astype(np.float64), x.max(axis=1).astype(np.float64)


def _affine(low: Array, high: Array, fmt: IntFormat, dtype: Any) -> tuple[Array, Array]:
    width = high - low
    scale = np.where(width == 0, 1.0, width / fmt.hi).astype(dtype)
    with np.errstate(all="ignore"):  # a scale that underflows is refused with the tensor's name
        zero_point = -np.rint(low / scale.astype(np.float64))
    return scale, (np.nan_to_num(zero_point) + 0.0).astype(dtype)


def _symmetric(amax: Array, fmt: IntFormat, dtype: Any) -> tuple[Array, Array | None]:
    scale = np.where(amax == 0, 1.0, amax / fmt.hi).astype(dtype)
    return scale, None if fmt.signed else np.zeros_like(scale)


def _scales(scale: Array, zero_point: Array | None, name: str) -> Scales:
    check(scale, name)
    return Scales(scale, zero_point)


def _search(x: Array, fmt: IntFormat, at: Any) -> NDArray[np.float64]:
    """The factor of each row whose error is least; the first one wins ties."""
    errors = np.empty((len(SHRINKS), len(x)))
    with np.errstate(all="ignore"):
        for place, factor in enumerate(SHRINKS):
            scale, zero_point = at(factor)
            errors[place] = _errors(x, fmt, scale[:, None], 0.0 if zero_point is None else zero_point[:, None])
    chosen: NDArray[np.float64] = SHRINKS[np.argmin(np.nan_to_num(errors, nan=np.inf), axis=0)]
    return chosen


def _errors(x: Array, fmt: IntFormat, scale: Array, zero_point: Any) -> Any:
    """Mean of ``|x − x̂|^2.4`` in units of the scale's range, which keeps powers inside the type's."""
    t = x / scale
    distance = np.abs(t - np.clip(np.rint(t), fmt.lo - zero_point, fmt.hi - zero_point))
    return np.power(distance, x.dtype.type(EXPONENT)).sum(axis=1, dtype=np.float64) * (
        scale[:, 0].astype(np.float64) ** EXPONENT
    )
