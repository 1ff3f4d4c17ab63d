"""Layers whose operands have scales of blocks: K is filled to whole blocks at each place of the kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.tensorcore import matmul
from fpsim.tensorcore.layers import conv2d, linear
from fpsim.tensorcore.unit import Grid, TensorCore

MX = TensorCore(arch="blackwell-sm100", dtype="mxfp4")
BLOCK = 32


def operand(*shape: int, seed: int, axis: int = 1) -> Grid:
    """Values of e2m1 and powers of two as scales of blocks along an axis."""
    numbers = torch.Generator().manual_seed(seed)
    blocks = list(shape)
    blocks[axis] = -(-shape[axis] // BLOCK)
    values = torch.tensor([0.0, 0.5, 1, 1.5, 2, 3, 4, 6])[torch.randint(0, 8, shape, generator=numbers)]
    signs = torch.randint(0, 2, shape, generator=numbers) * 2 - 1
    return Grid(values * signs, 2.0 ** torch.randint(-3, 4, tuple(blocks), generator=numbers).float(), BLOCK)


def values_of(grid: Grid, axis: int = 1) -> Tensor:
    """What the operand stands for."""
    assert grid.blocks is not None
    each = grid.blocks.repeat_interleave(BLOCK, axis).narrow(axis, 0, grid.values.shape[axis])
    return grid.values * each


@pytest.mark.parametrize("channels", [32, 64, 40, 5])
def test_a_convolution_of_few_bits_is_torchs(channels: int) -> None:
    x, w = operand(2, channels, 4, 5, seed=0), operand(3, channels, 3, 2, seed=1)
    found = conv2d(x, w, core=MX, padding=1, stride=2)
    assert torch.equal(found, F.conv2d(values_of(x), values_of(w), padding=1, stride=2))


@pytest.mark.parametrize("channels", [64, 40])
def test_a_linear_layer_of_few_bits_is_torchs(channels: int) -> None:
    x, w = operand(2, 3, channels, seed=0, axis=2), operand(4, channels, seed=1)
    assert torch.equal(linear(x, w, core=MX), F.linear(values_of(x, 2), values_of(w)))


def test_a_linear_layer_is_the_product_with_its_scales() -> None:
    x, w = operand(3, 64, seed=0), operand(4, 64, seed=1)
    assert x.blocks is not None
    assert w.blocks is not None
    parts = (part.numpy() for part in (x.values, w.values.T, x.blocks, w.blocks.T))
    a, b, scale_a, scale_b = parts
    wanted = matmul(a, b, arch=MX.arch, dtype=MX.dtype, scale_a=scale_a, scale_b=scale_b)
    assert np.array_equal(linear(x, w, core=MX).numpy(), wanted)


def test_groups_have_no_blocks() -> None:
    with pytest.raises(FpsimError, match="2 groups has no blocks"):
        conv2d(operand(1, 64, 3, 3, seed=0), operand(4, 32, 3, 3, seed=1), core=MX, groups=2)
