"""Linear layers and convolutions through a tensor core: products of grid values, then scales and bias in FP32."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.tensorcore.unfold import padding as pads_of
from fpsim.tensorcore.unfold import pair, pieces, windows
from fpsim.tensorcore.unit import Floats, Grid, Integers, Multiplier
from fpsim.tensorcore.zero_points import check_padding, named_zeros, numbers, of_rows, part_of


def linear(
    x: Grid, weight: Grid, bias: Tensor | None = None, scale: Tensor | None = None, *, core: Multiplier
) -> Tensor:
    """Return a linear layer's output: the core's product, times ``scale``, plus ``bias``, each one FP32 operation.

    Args:
        x: ``[…, K]``.
        weight: ``[N, K]``.
        bias: ``[N]``, or None.
        scale: the product of both operands' scales, ``[N]``, or ``[B, N]`` with the first axis of ``x``.
        core: multiplies.

    Returns:
        float32 ``[…, N]``.

    Raises:
        FpsimError: as the core.

    Source: the order of CUTLASS's default epilogue, alpha · accumulator + bias, without a fused multiply-add.
    """
    (a, a_blocks), (b, b_blocks) = _channels_last(x, -1), _channels_last(weight, -1)
    rows = a.reshape(-1, a.shape[-1])
    points = named_zeros(of_rows(numbers(x.zero), len(rows)), numbers(weight.zero))
    product = core.multiply(rows, b.T, _rows(a_blocks), None if b_blocks is None else b_blocks.T, **points)
    return _finished(product.reshape(*a.shape[:-1], len(b)), scale, bias)


def conv2d(
    x: Grid,
    weight: Grid,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    core: Multiplier,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Return a convolution's output as an implicit matrix product: K runs kernel rows, kernel columns, channels.

    Args:
        x: ``[B, C, H, W]`` or ``[C, H, W]``.
        weight: ``[N, C / groups, kh, kw]``.
        bias: ``[N]``, or None.
        scale: ``[N]`` or ``[B, N]``; as in :func:`linear`.
        core: multiplies.
        stride, padding, dilation, groups: as torch's ``conv2d`` has them.

    Returns:
        float32 ``[B, N, out height, out width]``.

    Raises:
        FpsimError: blocks in a grouped convolution; a zero point without a code beside padding; as the core.
    """
    if groups > 1 and x.blocks is not None:
        raise FpsimError(f"a convolution of {groups} groups has no blocks along its channels; skip the layer")
    (a, a_blocks), (b, b_blocks) = _channels_last(_batched(x), 1), _channels_last(weight, 1)
    kernel, dilations = (b.shape[1], b.shape[2]), pair(dilation)
    around = pads_of(padding, kernel, dilations)
    a_zero, b_zero = numbers(x.zero), numbers(weight.zero)
    check_padding(a_zero, around)

    def seen(part: Floats, filler: Any) -> Floats:
        return windows(part, around, filler, kernel, pair(stride), dilations)

    into, out = b.shape[-1], len(b) // groups
    parts = [
        _product(
            (seen(a[..., group * into : (group + 1) * into], 0 if a_zero is None else a_zero), b[outputs]),
            None if a_blocks is None or b_blocks is None else (seen(a_blocks, 1), b_blocks),
            (a_zero, part_of(b_zero, outputs)),
            core,
        )
        for group, outputs in ((group, slice(group * out, (group + 1) * out)) for group in range(groups))
    ]
    result = _finished(parts[0] if groups == 1 else np.concatenate(parts, axis=-1), scale, bias)
    result = result.permute(0, 3, 1, 2).contiguous()
    return result if x.values.ndim == 4 else result[0]


def conv1d(
    x: Grid,
    weight: Grid,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    core: Multiplier,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Return a convolution along one axis: :func:`conv2d` of images one pixel high.

    Args:
        x: ``[B, C, L]`` or ``[C, L]``.
        weight: ``[N, C / groups, k]``.
        bias, scale, core, stride, padding, dilation, groups: as in :func:`conv2d`.

    Returns:
        float32 ``[B, N, out length]``.
    """
    flat = [value if isinstance(value, str) else pair(value)[0] for value in (stride, padding, dilation)]
    result = conv2d(
        _one_high(x), _one_high(weight), bias, scale, core=core, groups=groups, stride=(1, flat[0]),
        padding=flat[1] if isinstance(flat[1], str) else (0, flat[1]), dilation=(1, flat[2]),
    )  # fmt: skip
    return result.squeeze(-2)


def _product(
    operands: tuple[Floats, Floats],
    blocks: tuple[Floats, Floats] | None,
    zeros: tuple[Integers | None, Integers | None],
    core: Multiplier,
) -> Floats:
    """What the core makes of windows ``[B, height, width, kh, kw, C]`` and a weight ``[N, kh, kw, C]``."""
    seen, weight = operands
    images, height, width = seen.shape[:3]
    b = weight.reshape(len(weight), -1).T
    b_blocks = None if blocks is None else blocks[1].reshape(len(weight), -1).T
    result = np.empty((images, height, width, len(weight)), np.float32)
    for some, lines in pieces(images, height, width * b.shape[0]):
        a = seen[some, lines]
        a_blocks = None if blocks is None else _patches(blocks[0][some, lines])
        rows = _patches(a)
        points = named_zeros(of_rows(part_of(zeros[0], some), len(rows)), zeros[1])
        result[some, lines] = core.multiply(rows, b, a_blocks, b_blocks, **points).reshape(*a.shape[:3], -1)
    return result


def _patches(seen: Floats) -> Floats:
    """Windows as rows."""
    return seen.reshape(seen.shape[0] * seen.shape[1] * seen.shape[2], -1)


def _rows(blocks: Floats | None) -> Floats | None:
    return None if blocks is None else blocks.reshape(-1, blocks.shape[-1])


def _channels_last(grid: Grid, axis: int) -> tuple[Floats, Floats | None]:
    """An operand with its channels at the end, filled with zeros to whole blocks, and the blocks' scales."""
    values, blocks = _numpy(grid.values, axis), None if grid.blocks is None else _numpy(grid.blocks, axis)
    if blocks is not None and (missing := blocks.shape[-1] * grid.block - values.shape[-1]):
        values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
    return values, blocks


def _numpy(tensor: Tensor, axis: int) -> Floats:
    values: Floats = tensor.detach().movedim(axis, -1).contiguous().to("cpu", torch.float32).numpy()
    return values


def _batched(grid: Grid) -> Grid:
    if grid.values.ndim == 4:
        return grid
    return replace(grid, values=grid.values[None], blocks=None if grid.blocks is None else grid.blocks[None])


def _one_high(grid: Grid) -> Grid:
    blocks = None if grid.blocks is None else grid.blocks.unsqueeze(-2)
    return replace(grid, values=grid.values.unsqueeze(-2), blocks=blocks)


def _finished(product: Floats, scale: Tensor | None, bias: Tensor | None) -> Tensor:
    """Scale and bias of a product ``[B, …, N]``: one multiplication, one addition."""
    result = torch.from_numpy(product)
    if scale is not None:
        each = scale.to("cpu", torch.float32)
        between = [1] * (product.ndim - each.ndim)
        result = result * (each if each.ndim == 1 else each.reshape(len(each), *between, each.shape[-1]))
    return result if bias is None else result + bias.detach().to("cpu", torch.float32)
