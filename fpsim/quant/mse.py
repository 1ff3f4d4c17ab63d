"""Squared errors of many candidate scales, in one compiled pass each."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fpsim.codec.numba import kernels
from fpsim.codec.numba.ops import round_linear
from fpsim.codec.numba.twin import integer_constants, magic_constants
from fpsim.codec.plan import LinearPlan, TablePlan, plan
from fpsim.number import ElementFormat

#: Independent sums: the additions of one would wait for each other.
SUMS = 64


def squared_errors(
    x: NDArray[Any], fmt: ElementFormat, scales: NDArray[Any], zero_points: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Sum of ``(x − s · round(x / s))²`` for each row and each of its candidate scales.

    Args:
        x: ``[groups, values]``, float32 or float64, C-contiguous; no NaN.
        fmt: an element format; its own scale must be in ``scales``.
        scales: ``[groups, candidates]``, dtype of ``x``, positive.
        zero_points: for unsigned integers, like ``scales``.

    Returns:
        ``[groups, candidates]`` in float64; the same for any number of threads.
    """
    real, width = x.dtype.type, x.dtype.itemsize * 8
    p = plan(fmt, width)
    if isinstance(p, LinearPlan):
        shift = np.zeros_like(scales) if zero_points is None else zero_points
        constants: tuple[Any, ...] = (real(p.lo) - shift, real(p.hi) - shift)
        return _kernel("linear")(x, scales, constants)  # type: ignore[no-any-return]
    if isinstance(p, TablePlan):
        return _kernel("table")(x, scales, (p.thresholds, p.values, p.keep_zero_sign, real(np.nan)))  # type: ignore[no-any-return]
    kind, constants = ("integer", integer_constants(p)) if p.integer else ("magic", magic_constants(p))
    return _kernel(kind)(x, scales, constants)  # type: ignore[no-any-return]


@njit(inline="always")
def _linear(t, p, g, c):  # type: ignore[no-untyped-def]
    return round_linear(t, p[0][g, c], p[1][g, c])


def _rounding(kind: str) -> Any:
    """A compiled ``(t, p, g, c)``: the quotient rounded, with the constants of a row's candidate."""
    if kind == "linear":
        return _linear
    elements = {"magic": kernels.magic_element, "integer": kernels.integer_element, "table": kernels.table_element}
    element = elements[kind]

    @njit(inline="always")
    def rounding(t, p, g, c):  # type: ignore[no-untyped-def]
        return element(t, p)

    return rounding


@lru_cache(maxsize=4)
def _kernel(kind: str) -> Any:
    rounding = _rounding(kind)

    @njit(parallel=True)
    def kernel(x, scales, p):  # type: ignore[no-untyped-def]
        candidates, values = scales.shape[1], x.shape[1]
        errors = np.empty(scales.shape, np.float64)
        whole = values // SUMS * SUMS
        for task in prange(scales.size):
            g, c = task // candidates, task % candidates
            row, s, sums = x[g], scales[g, c], np.zeros(SUMS, np.float64)
            for start in range(0, whole, SUMS):
                part = row[start : start + SUMS]
                for k in range(SUMS):
                    d = part[k] - rounding(part[k] / s, p, g, c) * s
                    sums[k] += d * d
            for k in range(whole, values):
                d = row[k] - rounding(row[k] / s, p, g, c) * s
                sums[k - whole] += d * d
            errors[g, c] = sums.sum()
        return errors

    return kernel
