"""Block formats in the general way: amax, scales, then any backend rounds the elements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.protocol import Backend, policy_arguments
from fpsim.codec.scale_rules import power_exponents, power_rule, smallest_scale, tensor_scale
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat, ScaleRule
from fpsim.number.conversion import DEFAULT, Conversion

Floats = NDArray[np.floating]


def check_divides(length: int, fmt: BlockFormat, what: str = "the last axis") -> None:
    """Refuse a short last block.

    Raises:
        FpsimError: ``length`` is no multiple of the block.
    """
    if length % fmt.block:
        raise FpsimError(
            f"{what} has {length} elements, which is no multiple of {fmt.name}'s block of {fmt.block}; "
            "drop strict (the short last block has its own scale) or choose another block"
        )


def block_amax(x: Floats, block: int) -> Floats:
    """Largest magnitude of each block of the last axis, ``[rows, blocks]``; NaN is ignored, Inf is the largest number.

    Args:
        x: ``[rows, columns]``.
        block: elements a block; the last one may be short.
    """
    starts = np.arange(0, x.shape[1], block)
    magnitudes = np.fmin(np.abs(x), np.finfo(x.dtype).max)  # fmin turns NaN into the maximum …
    magnitudes[np.isnan(x)] = 0  # … which must not count
    amax: Floats = np.maximum.reduceat(magnitudes, starts, axis=1)
    return amax


def block_scales(x: Floats, fmt: BlockFormat, backend: Backend) -> tuple[Floats, float]:
    """The blocks' scales ``[rows, blocks]`` on the scale format's grid, and the tensor's scale.

    Args:
        x: ``[rows, columns]``, float32 or float64, not empty.
        fmt: the block format.
        backend: rounds the scales of the rule ``max``; must take NumPy arrays.
    """
    amax, dtype = block_amax(x, fmt.block), x.dtype.type
    if fmt.rule is not ScaleRule.MAX:
        exponents = power_exponents(amax, power_rule(fmt, x.dtype.itemsize * 8))
        return np.ldexp(dtype(1), exponents).astype(x.dtype), 1.0
    whole = tensor_scale(float(amax.max()), fmt, dtype)
    ratios = amax / dtype(float(fmt.element.max)) / dtype(whole)
    scales = np.empty_like(ratios)
    backend.quantize(ratios, fmt.scale, np.ones((1, 1), x.dtype), scales)
    return np.maximum(scales, dtype(smallest_scale(fmt))), whole


def quantize_blocks(x: Floats, fmt: BlockFormat, out: Floats, backend: Backend, how: Conversion = DEFAULT) -> None:
    """Quantize blocks along the last axis of ``x`` into ``out``.

    Args:
        x: ``[rows, columns]``, float32 or float64, C-contiguous; the last block of a row may be short.
        fmt: the block format.
        out: as ``x``.
        backend: rounds the elements; must take NumPy arrays.
        how: of the elements; scales follow their rule.
    """
    policies = policy_arguments(backend, how)
    if x.size == 0:
        return
    faster = getattr(backend, "quantize_blocks", None)
    if faster is not None and not policies and x.shape[1] % fmt.block == 0 and faster(x, fmt, out):
        return
    scales, whole = block_scales(x, fmt, backend)
    apply_scales(x, fmt.element, fmt.block, scales * x.dtype.type(whole), out, backend, **policies)


def apply_scales(
    x: Floats,
    element: ElementFormat,
    block: int,
    scales: Floats,
    out: Floats,
    backend: Backend,
    **policies: Conversion,
) -> None:
    """Round ``x`` to the element format with one scale a block; arguments as in :func:`quantize_blocks`."""
    scales = scales * scales.dtype.type(element.scale(x.dtype.itemsize * 8))
    rows, columns = x.shape
    if policies and columns % block:
        # Random bits follow the element's place in the whole array: it must not be taken apart.
        backend.quantize(x, element, np.repeat(scales, block, axis=1)[:, :columns].copy(), out, **policies)
        return
    whole = columns // block * block
    if whole:
        body = np.ascontiguousarray(x[:, :whole]).reshape(-1, block)
        rounded = np.empty_like(body)
        of_blocks = np.ascontiguousarray(scales[:, : whole // block]).reshape(-1, 1)
        backend.quantize(body, element, of_blocks, rounded, **policies)
        out[:, :whole] = rounded.reshape(rows, whole)
    if whole < columns:
        tail = np.ascontiguousarray(x[:, whole:])
        rounded = np.empty_like(tail)
        backend.quantize(tail, element, np.ascontiguousarray(scales[:, -1:]), rounded)
        out[:, whole:] = rounded
