"""Quantized operands as grid values and scales: what a tensor core multiplies, and what is multiplied afterwards."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fpsim.codec.api import quantize
from fpsim.codec.blocks import block_scales
from fpsim.codec.protocol import backend
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat, IntFormat
from fpsim.quant import granularity as views
from fpsim.quant.granularity import PerBlock, PerChannel, PerTensor
from fpsim.quant.quantizer import Quantizer, effective_scale
from fpsim.tensorcore.unit import Grid

#: Largest zero point: quotients of FP32 values that far from 0 are still within 1/4 of their whole numbers.
FARTHEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Factors:
    """An operand: ``grid · scale``, the grid's zero points taken away.

    Args:
        grid: values of the operand type, of the operand's shape.
        scale: float32 ``[1]``, or one number an index of the axis that the quantizer scales.
    """

    grid: Grid
    scale: Tensor


def factors(
    source: Tensor, rounded: Tensor, quantizer: Quantizer, shift: int, *, codes: bool = False, batched: bool = True
) -> Factors:
    """Return what a quantizer made of a tensor as grid values times scales.

    The grid values are found back from ``rounded``, which may have been learned: the quotient by the scale is
    within two roundings of a grid value, and the nearest one is that value as long as no product was subnormal.

    Args:
        source: before rounding; scales that are not fixed follow from it.
        rounded: after it.
        quantizer: that rounded it.
        shift: grid values are multiplied by 2^shift, and scales by 2^−shift.
        codes: whether unsigned integers are wanted as codes with zero points, not as differences from those.
        batched: False for the input of a single sample, which has one scale.

    Raises:
        FpsimError: a zero point so large that values do not tell their codes.
    """
    if isinstance(quantizer.format, BlockFormat):
        return _of_blocks(source, rounded, quantizer, quantizer.format, batched=batched)
    if isinstance(quantizer.granularity, PerChannel) and not batched:
        quantizer = replace(quantizer, granularity=PerTensor())
    scales = (quantizer if quantizer.scales is not None else quantizer.fit(source)).scales
    assert scales is not None, "fit sets the scales"
    real = np.float64 if rounded.dtype == torch.float64 else np.float32
    each = torch.from_numpy(effective_scale(scales.scale.astype(real), quantizer.format, quantizer.name))
    shape = [1] * rounded.ndim
    if isinstance(quantizer.granularity, PerChannel):
        shape[quantizer.granularity.axis] = -1
    values, zero = _on_grid(_working(rounded) / each.reshape(shape), quantizer.format), None
    if codes and scales.zero_point is not None:
        zero = _zero_points(scales.zero_point, quantizer.name)
        values = (values.double() + zero.reshape(shape)).float()
    grid = Grid(torch.ldexp(values, torch.tensor(shift)), zero=zero)
    return Factors(grid, torch.ldexp(each, torch.tensor(-shift)).float())


def _zero_points(given: NDArray[Any], name: str) -> Tensor:
    if np.abs(given).max(initial=0) > FARTHEST:
        far = given[np.abs(given).argmax()]
        raise FpsimError(f"{name}: a zero point of {far:.0f} leaves no room for codes; choose another range")
    return torch.from_numpy(given.astype(np.int64))


def _working(rounded: Tensor) -> Tensor:
    values = rounded.detach().cpu()
    return values if values.dtype == torch.float64 else values.float()


def _on_grid(values: Tensor, fmt: ElementFormat) -> Tensor:
    """The nearest grid values; those of unsigned integers are differences from a zero point."""
    if isinstance(fmt, IntFormat):
        return values.round().float()
    nearest: Tensor = quantize(values, fmt.grid)
    return nearest.float()


def _of_blocks(source: Tensor, rounded: Tensor, quantizer: Quantizer, fmt: BlockFormat, *, batched: bool) -> Factors:
    assert isinstance(quantizer.granularity, PerBlock), "block formats have blocks"
    axis = quantizer.granularity.axis
    values, goal = (views.last_axis(_working(part), axis) for part in (source, rounded))
    parts = list(values) if fmt.tensor_scale and batched and axis < 0 else [values]  # acts: a tensor's scale a sample
    found = [block_scales(part.reshape(-1, part.shape[-1]).numpy(), fmt, backend("numpy")) for part in parts]
    blocks = np.concatenate([scales for scales, _ in found]).reshape(*values.shape[:-1], -1)
    wholes = np.array([whole for _, whole in found], np.float32)
    spread = np.repeat(blocks, fmt.block, axis=-1)[..., : values.shape[-1]] * _leading(wholes, values.ndim)
    grid = _on_grid(goal / torch.from_numpy(spread), fmt.element)
    return Factors(Grid(_back(grid, axis), _back(torch.from_numpy(blocks), axis), fmt.block), torch.from_numpy(wholes))


def _leading(wholes: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    return wholes.reshape(-1, *[1] * (axes - 1))


def _back(values: Tensor, axis: int) -> Tensor:
    moved: Tensor = views.back(values, axis)
    return moved


def scale_of_product(acts: Factors, weights: Factors, channels: int) -> Tensor:
    """Return the product of two operands' scales, one FP32 multiplication: ``[N]``, or ``[B, N]`` by sample.

    Args:
        acts: with a scale, or one a sample.
        weights: with a scale, or one an output channel.
        channels: N.
    """
    by_channel = weights.scale.expand(channels)
    return acts.scale * by_channel if len(acts.scale) == 1 else acts.scale[:, None] * by_channel


def halves(a: Tensor, b: Tensor, at: int | None, axis: int) -> list[tuple[Tensor, Tensor]]:
    """Return two tensors of one shape whole, or the first channels of both, then the other ones."""
    if at is None:
        return [(a, b)]
    rest = a.shape[axis] - at
    spans = (0, at), (at, rest)
    return [(a.narrow(axis, begin, length), b.narrow(axis, begin, length)) for begin, length in spans]
