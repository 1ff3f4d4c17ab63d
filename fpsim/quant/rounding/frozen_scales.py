"""The scale of every single weight, as its quantizer has it now."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fpsim.codec.blocks import block_scales
from fpsim.codec.protocol import backend
from fpsim.number import BlockFormat, ElementFormat
from fpsim.quant import granularity as views
from fpsim.quant.granularity import PerBlock, PerChannel
from fpsim.quant.quantizer import Quantizer, effective_scale
from fpsim.quant.scales import Scales, fit


def frozen_scales(weight: Tensor, quantizer: Quantizer) -> tuple[ElementFormat, Tensor, Tensor | None]:
    """Return the element format, and what each weight is divided by: scales with the format's own, and zero points.

    Args:
        weight: float32 or float64.
        quantizer: with fixed scales, or it fits them to the weight.

    Returns:
        The element format; the scales and the zero points (or None), which broadcast with the weight.

    Raises:
        FpsimError: the weight has no scale.
    """
    fmt, granularity = quantizer.format, quantizer.granularity
    if isinstance(granularity, PerBlock):
        return _of_blocks(weight, quantizer, granularity)
    scales = quantizer.scales or quantizer.fit(weight).scales
    assert scales is not None, "fit sets the scales"
    shape = [1] * weight.ndim
    if isinstance(granularity, PerChannel):
        shape[granularity.axis] = -1
    each, zero_points = _effective(scales, fmt, quantizer.name, weight)
    return fmt, each.reshape(shape), None if zero_points is None else zero_points.reshape(shape)


def _effective(scales: Scales, fmt: ElementFormat, name: str, like: Tensor) -> tuple[Tensor, Tensor | None]:
    real = np.float64 if like.dtype == torch.float64 else np.float32
    each = _tensor(effective_scale(scales.scale.astype(real), fmt, name), like)
    return each, None if scales.zero_point is None else _tensor(scales.zero_point.astype(real), like)


def _of_blocks(weight: Tensor, quantizer: Quantizer, blocks: PerBlock) -> tuple[ElementFormat, Tensor, Tensor | None]:
    moved = views.last_axis(weight, blocks.axis)
    rows = moved.reshape(-1, moved.shape[-1])
    fmt = quantizer.format
    if isinstance(fmt, BlockFormat):
        values = rows.cpu().numpy()
        scales, whole = block_scales(values, fmt, backend("numpy"))
        real = scales.dtype.type
        each = scales * real(whole) * real(fmt.element.scale(scales.dtype.itemsize * 8))
        spread = np.repeat(each, fmt.block, axis=1)[:, : values.shape[1]]
        return fmt.element, views.back(_tensor(spread, weight).reshape(moved.shape), blocks.axis), None
    scale, zero_point = _fitted_blocks(rows, quantizer, blocks.size)
    back = [
        None if part is None else views.back(part.reshape(moved.shape), blocks.axis) for part in (scale, zero_point)
    ]
    assert back[0] is not None, "there is always a scale"
    return fmt, back[0], back[1]


def _fitted_blocks(rows: Tensor, quantizer: Quantizer, size: int) -> tuple[Tensor, Tensor | None]:
    """Scales in full precision: whole blocks first, then the short last one of each row, as the quantizer does it."""
    columns = rows.shape[1]
    whole = columns // size * size
    scales, zero_points = [], []
    for part, length in ((rows[:, :whole], size), (rows[:, whole:], columns - whole)):
        if not part.shape[1]:
            continue
        values = np.ascontiguousarray(part.cpu().numpy()).reshape(-1, length)
        found = fit(values, quantizer.format, quantizer.scale, name=quantizer.name)
        scale, zero_point = _effective(found, quantizer.format, quantizer.name, rows)
        scales.append(_spread(scale, part, length))
        if zero_point is not None:
            zero_points.append(_spread(zero_point, part, length))
    return torch.cat(scales, dim=1), torch.cat(zero_points, dim=1) if zero_points else None


def _spread(values: Tensor, part: Tensor, length: int) -> Tensor:
    return values.repeat_interleave(length).reshape(part.shape)


def _tensor(values: NDArray[np.floating], like: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(like.device)
