"""The Numba backend: one pass at memory speed, on as many threads as Numba has."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fpsim.codec.numba import kernels, modes
from fpsim.codec.numba.ops import LANES, bits_of, float_of, round_magic
from fpsim.codec.numba.threads import run
from fpsim.codec.plan import LinearPlan, MagicPlan, TablePlan, plan
from fpsim.codec.scale_rules import LIFT, TINY, power_rule, smallest_scale, tensor_scale
from fpsim.number import BlockFormat, ElementFormat, ScaleRule
from fpsim.number.conversion import DEFAULT, Conversion, Overflow, Rounding

Floats = NDArray[np.floating]


class NumbaBackend:
    """Rounds NumPy arrays with compiled loops; see :class:`fpsim.codec.protocol.Backend`."""

    name = "numba"
    arrays = "numpy"
    roundings = tuple(Rounding)
    overflows = tuple(Overflow)

    def quantize(
        self,
        x: Floats,
        fmt: ElementFormat,
        scale: Floats,
        out: Floats,
        zero_point: Floats | None = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write ``s · round(x / s)`` on the format's grid into ``out``; shapes as in the protocol."""
        if how != DEFAULT:
            modes.quantize(x, fmt, scale, out, zero_point, how)
            return
        p, real = plan(fmt, x.dtype.itemsize * 8), x.dtype.type
        if isinstance(p, LinearPlan):
            shift = np.zeros_like(scale) if zero_point is None else zero_point
            run(kernels.linear, x, out, scale, real(p.lo) - shift, real(p.hi) - shift)
        elif isinstance(p, TablePlan):
            kernel = kernels.small_table if len(p.values) <= kernels.FEW else kernels.table
            run(kernel, x, out, scale, (p.thresholds, p.values, p.keep_zero_sign, real(np.nan)))
        elif p.integer:
            run(kernels.integer, x, out, scale, real(p.zero), integer_constants(p))
        else:
            run(kernels.magic, x, out, scale, real(p.zero), magic_constants(p))

    def quantize_blocks(self, x: Floats, fmt: BlockFormat, out: Floats) -> bool:
        """Quantize whole blocks of a contiguous array in one pass; False where only the general way serves.

        Args:
            x: C-contiguous, its last axis a multiple of the block.
            fmt: the block format.
            out: as ``x``.
        """
        width, real = x.dtype.itemsize * 8, x.dtype.type
        p, rule, own = plan(fmt.element, width), self._rule(x, fmt), fmt.element.scale(width)
        if rule is None or isinstance(p, TablePlan) or (isinstance(p, MagicPlan) and p.integer):
            return False
        scale_of, limits = rule
        linear, exact = isinstance(p, LinearPlan), fmt.rule is not ScaleRule.MAX and own == 1
        elements = "linear" if linear else "multiply" if exact else "divide"
        kernel = kernels.blocks_kernel(fmt.block, scale_of, elements)
        constants = linear_constants(p) if isinstance(p, LinearPlan) else (*magic_constants(p), real(p.zero))
        run(kernel, x.reshape(-1), out.reshape(-1), limits, real(own), real(1 / own), constants)
        return True

    def _rule(self, x: Floats, fmt: BlockFormat) -> tuple[Any, tuple[Any, ...]] | None:
        real, width = x.dtype.type, x.dtype.itemsize * 8
        if fmt.block % LANES:
            return None
        if fmt.rule is not ScaleRule.MAX:
            r = power_rule(fmt, width)
            integer = np.int32 if width == 32 else np.int64
            constants = (real(r.divisor), *map(integer, (r.nudge, r.offset, r.lo, r.hi)))
            return (_power_scale32 if width == 32 else _power_scale64), constants
        p = plan(fmt.scale, width)
        if not isinstance(p, MagicPlan) or p.integer:
            return None
        whole = tensor_scale(tensor_amax(x), fmt, real) if fmt.tensor_scale else 1.0
        smallest = real(smallest_scale(fmt))
        return _ratio_scale, (real(float(fmt.element.max)), real(whole), smallest, *magic_constants(p))


def tensor_amax(x: Floats) -> float:
    """Largest magnitude of a contiguous array; NaN is ignored and Inf counts as the largest finite number."""
    flat = x.reshape(-1)
    block = 1 << 13
    whole = flat.size // block
    found = np.zeros(whole + 1, x.dtype)
    run(kernels.amax_kernel(block), flat[: whole * block], found)
    rest = np.fmax.reduce(np.abs(flat[whole * block :]), initial=0)
    return float(min(np.fmax(found.max(), rest), np.finfo(x.dtype).max))


def linear_constants(p: LinearPlan) -> tuple[Any, Any]:
    real = np.float32 if p.width == 32 else np.float64
    return real(p.lo), real(p.hi)


def magic_constants(p: MagicPlan) -> tuple[Any, Any, Any]:
    real, integer = (np.float32, np.int32) if p.width == 32 else (np.float64, np.int64)
    return real(p.max), integer(p.emin_field), integer(p.shift)


def integer_constants(p: MagicPlan) -> tuple[Any, ...]:
    real, integer = (np.float32, np.int32) if p.width == 32 else (np.float64, np.int64)
    return real(p.max), real(p.min_normal), real(p.small), integer(p.drop), integer(p.parity)


def _power_scale(mantissa_bits: int, bias: int, real: Any, integer: Any) -> Any:
    """The compiled form of :func:`fpsim.codec.scale_rules.power_exponents` for one block: the scale and its inverse.

    Free of branches and divisions, so that the compiler computes many blocks' scales at once.
    """
    tiny, lift, largest = real(TINY), real(2.0**LIFT), np.finfo(real).max
    below = real(2.0**-bias)  # a subnormal: its exponent field does not say its exponent

    @njit(inline="always")
    def scale_of(amax, limits):  # type: ignore[no-untyped-def]
        divisor, nudge, offset, lo, hi = limits
        a = min(amax, largest)
        small = a < tiny
        lifted = a * (lift if small else real(1))
        field = integer(bits_of(lifted / divisor) + nudge) >> mantissa_bits
        exponent = integer(field - bias - offset - (LIFT if small else 0))
        exponent = integer(lo if a == 0 else min(max(exponent, lo), hi))
        s = float_of(integer(integer(exponent + bias) << mantissa_bits))
        inverse = float_of(integer(integer(bias - exponent) << mantissa_bits))
        return (below if exponent == -bias else s), (below if exponent == bias else inverse)

    return scale_of


_power_scale32 = _power_scale(23, 127, np.float32, np.int32)
_power_scale64 = _power_scale(52, 1023, np.float64, np.int64)


@njit(inline="always")
def _ratio_scale(amax, limits):  # type: ignore[no-untyped-def]
    """amax / max over the tensor's scale, rounded to the scale format, never 0, times the tensor's scale."""
    top, whole, smallest, maximum, emin_field, shift = limits
    g = round_magic(amax / top / whole, maximum, emin_field, shift)
    return max(g, smallest) * whole, top
