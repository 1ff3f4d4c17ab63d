"""Codes of block formats by one compiled loop: magnitudes, scales and elements of a group while it is in the cache."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from fpsim.codec.code_plan import CodePlan
from fpsim.codec.numba.block_scales import compiled_rule
from fpsim.codec.numba.code_ops import encode_block
from fpsim.codec.numba.kernels import block_amax
from fpsim.codec.numba.threads import run
from fpsim.number import BlockFormat

Floats = NDArray[np.floating]
#: Blocks whose scales are computed together, in SIMD lanes.
GROUP = 32
#: Groups a task.
GROUPS = 16


@lru_cache(maxsize=64)
def _kernel(block: int, scale_of: Any, kind: str, signs: str) -> Any:
    """A kernel ``(x, codes, scales, seen, limits, own, constants)`` on flat arrays of whole blocks."""
    amax_of, code_block = block_amax(block), encode_block(block, kind, signs)

    @njit(parallel=True)
    def kernel(x, codes, scales, seen, limits, own, constants):  # type: ignore[no-untyped-def]
        span = GROUP * GROUPS
        for task in prange((scales.size + span - 1) // span):
            last, flag = min(scales.size, (task + 1) * span), np.int32(0)
            amax, factor = np.empty(GROUP, x.dtype), np.empty(GROUP, x.dtype)
            for first in range(task * span, last, GROUP):
                count = min(GROUP, last - first)
                for b in range(count):
                    amax[b] = amax_of(x, (first + b) * block)
                for b in range(count):
                    s, scales[first + b] = scale_of(amax[b], limits)
                    factor[b] = s * own
                for b in range(count):
                    flag |= code_block(x, codes, (first + b) * block, factor[b], constants)
            seen[task] = flag

    return kernel


def encode(x: Floats, fmt: BlockFormat, p: CodePlan, codes: NDArray[Any]) -> tuple[Floats, float, bool] | None:
    """Write the codes of whole blocks; None where only the general way serves.

    Args:
        x: C-contiguous ``[rows, columns]``, columns a multiple of the block.
        fmt: the block format.
        p: how its elements become codes.
        codes: like ``x``.

    Returns:
        The blocks' scales ``[rows, blocks]`` in their format, the tensor's scale, and whether a NaN had no code.
    """
    rule, blocks = compiled_rule(x, fmt), x.size // fmt.block
    if rule is None:
        return None
    scale_of, limits, whole = rule
    scales, seen = np.empty(blocks, x.dtype), np.zeros(blocks // (GROUP * GROUPS) + 1, np.int32)
    own = x.dtype.type(fmt.element.scale(x.dtype.itemsize * 8))
    kernel = _kernel(fmt.block, scale_of, p.kind, p.signs)
    run(kernel, x.reshape(-1), codes.reshape(-1), scales, seen, limits, own, p.constants)
    return scales.reshape(x.shape[0], -1), whole, bool(seen.any()) and not p.has_nan
