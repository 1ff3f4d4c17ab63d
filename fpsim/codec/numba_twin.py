"""The Numba backend: one pass at memory speed, on as many threads as Numba has."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import njit
from numpy.typing import NDArray

from fpsim.codec.plan import LinearPlan, MagicPlan, TablePlan, plan
from fpsim.codec.scale_rules import LIFT, TINY, power_rule, tensor_scale
from fpsim.number import BlockFormat, ElementFormat, ScaleRule

# OpenMP forks in 4 µs; the default layer needs 80 µs a call and stalls on small tensors.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]

from fpsim.codec import numba_kernels as kernels  # noqa: E402 - after the threading layer is chosen
from fpsim.codec.numba_ops import bits_of, float_of, round_magic  # noqa: E402

Floats = NDArray[np.floating]


class NumbaBackend:
    """Rounds NumPy arrays with compiled loops; see :class:`fpsim.codec.protocol.Backend`."""

    name = "numba"
    arrays = "numpy"

    def quantize(
        self, x: Floats, fmt: ElementFormat, scale: Floats, out: Floats, zero_point: Floats | None = None
    ) -> None:
        """Write ``s · round(x / s)`` on the format's grid into ``out``; shapes as in the protocol."""
        p, real = plan(fmt, x.dtype.itemsize * 8), x.dtype.type
        if isinstance(p, LinearPlan):
            shift = np.zeros_like(scale) if zero_point is None else zero_point
            kernels.linear(x, out, scale, real(p.lo) - shift, real(p.hi) - shift)
        elif isinstance(p, TablePlan):
            kernels.table(x, out, scale, real(-0.0), (p.thresholds, p.values, p.keep_zero_sign))
        elif p.integer:
            kernels.integer(x, out, scale, real(p.zero), _integer_constants(p))
        else:
            kernels.magic(x, out, scale, real(p.zero), _magic_constants(p))

    def quantize_blocks(self, x: Floats, fmt: BlockFormat, out: Floats) -> bool:
        """Quantize whole blocks of a contiguous array in one pass; False where only the general way serves.

        Args:
            x: C-contiguous, its last axis a multiple of the block.
            fmt: the block format.
            out: as ``x``.
        """
        p = plan(fmt.element, x.dtype.itemsize * 8)
        rule = self._rule(x, fmt)
        own = fmt.element.scale(x.dtype.itemsize * 8)
        if rule is None or isinstance(p, TablePlan) or (isinstance(p, MagicPlan) and p.integer) or own != 1:
            return False
        scale_of, limits = rule
        source, target, real = x.reshape(-1), out.reshape(-1), x.dtype.type
        if isinstance(p, LinearPlan):
            kernels.linear_blocks(source, target, fmt.block, scale_of, limits, real(p.lo), real(p.hi))
        else:
            kernels.magic_blocks(source, target, fmt.block, scale_of, limits, real(p.zero), _magic_constants(p))
        return True

    def _rule(self, x: Floats, fmt: BlockFormat) -> tuple[Any, tuple[Any, ...]] | None:
        real, width = x.dtype.type, x.dtype.itemsize * 8
        if fmt.block % kernels.LANES:
            return None
        if fmt.rule is not ScaleRule.MAX:
            r = power_rule(fmt, width)
            integer = np.int32 if width == 32 else np.int64
            constants = (real(r.divisor), integer(r.nudge), r.offset, r.lo, r.hi)
            return (_power_scale32 if width == 32 else _power_scale64), constants
        p = plan(fmt.scale, width)
        if not isinstance(p, MagicPlan) or p.integer:
            return None
        whole = tensor_scale(tensor_amax(x), fmt, real) if fmt.tensor_scale else 1.0
        smallest = real(float(fmt.scale.grid_value(1)))
        return _ratio_scale, (real(float(fmt.element.max)), real(whole), smallest, *_magic_constants(p))


def tensor_amax(x: Floats) -> float:
    """Largest magnitude of a contiguous array; NaN is ignored and Inf counts as the largest finite number."""
    flat = x.reshape(-1)
    block = 1 << 12
    whole = flat.size // block
    found = np.zeros(whole + 1, x.dtype)
    kernels.amax(flat[: whole * block], block, found)
    rest = np.fmax.reduce(np.abs(flat[whole * block :]), initial=0)
    return float(min(np.fmax(found.max(), rest), np.finfo(x.dtype).max))


def _magic_constants(p: MagicPlan) -> tuple[Any, Any, Any]:
    real, integer = (np.float32, np.int32) if p.width == 32 else (np.float64, np.int64)
    return real(p.max), integer(p.emin_field), integer(p.shift)


def _integer_constants(p: MagicPlan) -> tuple[Any, ...]:
    real, integer = (np.float32, np.int32) if p.width == 32 else (np.float64, np.int64)
    return real(p.max), real(p.min_normal), real(p.small), integer(p.drop), integer(p.parity)


def _power_scale(mantissa_bits: int, bias: int, largest: Any) -> Any:
    """The compiled form of :func:`fpsim.codec.scale_rules.power_exponents` for one block, as a scale."""
    real = type(largest)
    tiny, lift = real(TINY), real(2.0**LIFT)
    smallest, tiny_power = 1 - bias, real(2.0 ** (-bias))

    @njit(inline="always")
    def scale_of(amax, limits):  # type: ignore[no-untyped-def]
        divisor, nudge, offset, lo, hi = limits
        a = min(amax, largest)
        lifted = a * lift if a < tiny else a
        field = (np.int64(bits_of(lifted / divisor)) + nudge) >> mantissa_bits
        exponent = field - bias - offset - (LIFT if a < tiny else 0)
        exponent = lo if a == 0 else min(max(exponent, lo), hi)
        if exponent < smallest:
            return tiny_power  # 2^−127 is subnormal in binary32
        return float_of(type_of((exponent + bias) << mantissa_bits))

    type_of = np.int32 if mantissa_bits == 23 else np.int64
    return scale_of


_power_scale32 = _power_scale(23, 127, np.finfo(np.float32).max)
_power_scale64 = _power_scale(52, 1023, np.finfo(np.float64).max)


@njit(inline="always")
def _ratio_scale(amax, limits):  # type: ignore[no-untyped-def]
    """amax / max over the tensor's scale, rounded to the scale format, never 0, times the tensor's scale."""
    top, whole, smallest, maximum, emin_field, shift = limits
    g = round_magic(amax / top / whole, maximum, emin_field, shift)
    return max(g, smallest) * whole
