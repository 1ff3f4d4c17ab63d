"""The Numba backend's way through rounding modes and policies other than the default."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.counter import words
from fpsim.codec.numba import kernels, mode_kernels
from fpsim.codec.numba.threads import run
from fpsim.codec.plan import LinearPlan, ModePlan, TablePlan, mode_plan, plan, replaced_nan
from fpsim.codec.stochastic import round_any
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, NanPolicy

Floats = NDArray[np.floating]


def quantize(
    x: Floats, fmt: ElementFormat, scale: Floats, out: Floats, zero_point: Floats | None, how: Conversion
) -> None:
    """Write ``s · round(x / s)`` into ``out``; arguments as in :class:`fpsim.codec.protocol.Backend`."""
    p, real = plan(fmt, x.dtype.itemsize * 8, how), x.dtype.type
    if isinstance(p, LinearPlan):
        shift = np.zeros_like(scale) if zero_point is None else zero_point
        constants = (real(np.nan if how.nan is NanPolicy.KEEP else 0), real(1 << how.random_bits), how.nan == "max")
        kernel, lo, hi = mode_kernels.linear_kernel(how.rounding), real(p.lo) - shift, real(p.hi) - shift
        run(kernel, x, out, scale, lo, hi, real(0), constants, _random(how))
    elif isinstance(p, TablePlan):
        _by_table(x, fmt, scale, out, p, how)
    else:
        assert isinstance(fmt, FloatFormat), "only floats have a MagicPlan"
        kernel = mode_kernels.float_kernel(how.rounding, how.overflow)
        constants = mode_constants(mode_plan(fmt, p, how))
        run(kernel, x, out, scale, scale, scale, real(p.zero), constants, _random(how))


def _by_table(x: Floats, fmt: ElementFormat, scale: Floats, out: Floats, p: TablePlan, how: Conversion) -> None:
    nan = x.dtype.type(replaced_nan(fmt, p.width, how))
    if how.deterministic:
        kernel = kernels.small_table if len(p.values) <= kernels.FEW else kernels.table
        run(kernel, x, out, scale, (p.thresholds, p.values, p.keep_zero_sign, nan))
        return
    random = words(how.seed, 0, x.size, how.random_bits).reshape(x.shape)
    with np.errstate(all="ignore"):
        g = round_any(x / scale, fmt, how, random)
        out[...] = np.where(np.isnan(g), nan, g) * scale


def _random(how: Conversion) -> tuple[Any, Any, Any]:
    return np.uint64(how.seed), np.int32(32 - how.random_bits), np.int32(1 << how.random_bits)


def mode_constants(p: ModePlan) -> tuple[Any, ...]:
    """The constants in the order of :class:`fpsim.codec.numba.mode_emit.Constants`."""
    real, integer = (np.float32, np.int32) if p.width == 32 else (np.float64, np.int64)
    integers = (p.drop, p.parity, p.clamp, p.max, p.special, p.nan, p.min_normal, p.stays, p.left, p.right)
    return (*map(integer, integers), *map(real, (p.small, p.unit, p.lift, p.lift2)))
