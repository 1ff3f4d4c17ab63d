"""Straight-through gradients: 1 inside the clipping range, 0 outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fpsim.codec.blocks import block_scales
from fpsim.codec.protocol import backend
from fpsim.number import BlockFormat, ElementFormat, IntFormat
from fpsim.number.codebook import CodebookFormat
from fpsim.quant import granularity as views
from fpsim.quant.granularity import PerBlock
from fpsim.quant.quantizer import Quantizer, effective_scale

#: The ends of the range are rounded products; the value that set the scale may be beyond them by so much.
_SLACK = 2.0**-21


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor, inside: Tensor) -> Tensor:
        ctx.save_for_backward(inside)
        return rounded

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


def straight_through(x: Tensor, rounded: Tensor, inside: Tensor) -> Tensor:
    """Return ``rounded`` with the gradient of ``x`` where ``inside`` is True."""
    result: Tensor = _StraightThrough.apply(x, rounded, inside)  # type: ignore[no-untyped-call]
    return result


def inside_range(x: Tensor, quantizer: Quantizer) -> Tensor:
    """Where ``x`` lies inside the range that its quantizer does not clip (to within 2^−21 of its ends), as booleans."""
    rows = x.detach().to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    if isinstance(quantizer.granularity, PerBlock):
        return _inside_blocks(rows, quantizer.format, quantizer.granularity.axis)
    scales = quantizer.scales or quantizer.fit(rows).scales
    assert scales is not None, "fit sets the scales"
    shape, layout = views.as_rows(rows, quantizer.granularity)
    s = effective_scale(scales.scale, quantizer.format, quantizer.name)
    low, high = _grid_bounds(quantizer.format)
    shift = 0 if scales.zero_point is None else scales.zero_point
    inside = _between(rows.reshape(shape), layout(s * (low - shift)), layout(s * (high - shift)))
    return inside.reshape(x.shape)


def _between(rows: Tensor, low: NDArray[Any], high: NDArray[Any]) -> Tensor:
    ends = (low - _SLACK * np.abs(low), high + _SLACK * np.abs(high))
    first, last = (torch.from_numpy(np.ascontiguousarray(end)).to(rows) for end in ends)
    return (rows >= first) & (rows <= last)


def _grid_bounds(fmt: ElementFormat) -> tuple[float, float]:
    if isinstance(fmt, IntFormat):
        return float(fmt.lo), float(fmt.hi)
    if isinstance(fmt, CodebookFormat):
        return fmt.values[0], fmt.values[-1]
    return (-float(fmt.grid.max) if fmt.signed else 0.0), float(fmt.grid.max)


def _inside_blocks(x: Tensor, fmt: Any, axis: int) -> Tensor:
    if not isinstance(fmt, BlockFormat):
        return torch.ones_like(x, dtype=torch.bool)  # scales from each block's maximum clip nothing
    moved = views.last_axis(x, axis)
    rows = moved.reshape(-1, moved.shape[-1])
    scales, whole = block_scales(rows.cpu().numpy(), fmt, backend("numpy"))
    each = scales * scales.dtype.type(whole) * scales.dtype.type(fmt.element.scale(scales.dtype.itemsize * 8))
    each = np.repeat(each, fmt.block, axis=1)[:, : rows.shape[1]]
    low, high = _grid_bounds(fmt.element)
    inside = _between(rows, each * scales.dtype.type(low), each * scales.dtype.type(high))
    return views.back(inside.reshape(moved.shape), axis)  # type: ignore[no-any-return]
