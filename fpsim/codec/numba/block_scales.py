"""The scales of block formats by compiled loops."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fpsim.codec.numba import kernels
from fpsim.codec.numba.ops import round_magic
from fpsim.codec.numba.threads import run
from fpsim.codec.numba.twin import NumbaBackend
from fpsim.number import BlockFormat, ScaleRule

Floats = NDArray[np.floating]


def compiled_rule(x: Floats, fmt: BlockFormat) -> tuple[Any, Any, float] | None:
    """A compiled function ``(amax, limits)``, its limits, and the tensor's scale; None where there is none.

    It gives what elements are divided by, but for their format's own scale, and the scale in its format.

    Args:
        x: C-contiguous, not empty.
        fmt: the block format.
    """
    rule = NumbaBackend()._rule(x, fmt)
    if rule is None:
        return None
    if fmt.rule is ScaleRule.MAX:
        return _ratio, rule[1], float(rule[1][1])
    return _power(rule[0]), rule[1], 1.0


@lru_cache(maxsize=16)
def _power(scale_of: Any) -> Any:
    @njit(inline="always")
    def both(amax, limits):  # type: ignore[no-untyped-def]
        s, _ = scale_of(amax, limits)
        return s, s

    return both


@njit(inline="always")
def _ratio(amax, limits):  # type: ignore[no-untyped-def]
    """amax / max over the tensor's scale, rounded to the scale format, never 0; that times the tensor's scale first."""
    top, whole, smallest, maximum, emin_field, shift = limits
    g = max(round_magic(amax / top / whole, maximum, emin_field, shift), smallest)
    return g * whole, g


def scales(x: Floats, fmt: BlockFormat) -> tuple[Floats, float] | None:
    """As :func:`fpsim.codec.blocks.block_scales`, for whole blocks; None where only the general way serves.

    Args:
        x: C-contiguous ``[rows, columns]``, columns a multiple of the block.
        fmt: the block format.
    """
    rule = compiled_rule(x, fmt)
    if rule is None:
        return None
    amax = np.empty(x.size // fmt.block, x.dtype)
    run(kernels.amax_kernel(fmt.block), x.reshape(-1), amax)
    found = np.empty_like(amax)
    run(_scales_kernel(rule[0]), amax, found, rule[1])
    return found.reshape(x.shape[0], -1), rule[2]


@lru_cache(maxsize=16)
def _scales_kernel(scale_of: Any) -> Any:
    """A kernel ``(amax, scales, limits)``."""

    @njit(parallel=True)
    def kernel(amax, found, limits):  # type: ignore[no-untyped-def]
        for b in prange(amax.size):
            found[b] = scale_of(amax[b], limits)[1]

    return kernel


__all__ = ["compiled_rule", "scales"]
