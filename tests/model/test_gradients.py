"""Straight-through gradients: 1 inside the clipping range, 0 outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fpsim
from fpsim import PerBlock, PerChannel, Policy, Quantizer
from fpsim.model.gradients import inside_range
from fpsim.model.operands import ActivationOperand
from fpsim.quant.scales import Scales


def mask(x: Tensor, q: Quantizer) -> list[Any]:
    """The gradient that reaches ``x`` through an activation's rounding."""
    leaf = x.clone().requires_grad_()
    y = ActivationOperand(q)(leaf)
    assert torch.equal(y.detach(), q(x))
    y.backward(torch.full_like(x, 3.0))
    assert set(leaf.grad.unique().tolist()) <= {0.0, 3.0}
    return (leaf.grad / 3).tolist()


def fixed(scale: float, zero: float | None = None) -> Scales:
    return Scales(np.array([scale], np.float32), None if zero is None else np.array([zero], np.float32))


def test_gradient_per_tensor() -> None:
    x = torch.tensor([-3.02, -3.0, -0.1, 0.0, 2.9, 3.0, 3.01, 1e30])
    assert mask(x, Quantizer("e2m1", scales=fixed(0.5))) == [0, 1, 1, 1, 1, 1, 0, 0]
    assert mask(x, Quantizer("int4", scales=fixed(3 / 7))) == [0, 1, 1, 1, 1, 1, 0, 0]
    assert mask(x, Quantizer("int4-full", scales=fixed(0.3775))) == [1, 1, 1, 1, 0, 0, 0, 0]
    assert mask(x, Quantizer([-1.0, 0.0, 2.0], scales=fixed(1.5))) == [0, 0, 1, 1, 1, 1, 0, 0]


def test_gradient_with_a_real_bias() -> None:
    fmt = fpsim.format("e2m1", bias=1.5)  # largest value 6 / sqrt(2)
    top = 6 / 2**0.5
    x = torch.tensor([top * 0.999, top * 1.001, -top * 0.999, -top * 1.001])
    assert mask(x, Quantizer(fmt, scales=fixed(1.0))) == [1, 0, 1, 0]


def test_gradient_with_a_zero_point() -> None:
    x = torch.tensor([-2.1, -2.0, 0.0, 13.0, 13.1])
    assert mask(x, Quantizer("uint4", scales=fixed(1.0, 2.0))) == [0, 1, 1, 1, 0]


def test_gradient_per_channel() -> None:
    x = torch.tensor([[1.0, 6.1, -6.0], [12.0, 12.1, -13.0]])
    q = Quantizer("e2m1", PerChannel(0), scales=Scales(np.array([1.0, 2.0], np.float32)))
    assert mask(x, q) == [[1, 0, 1], [1, 0, 0]]
    q = Quantizer("e2m1", PerChannel(1), scales=Scales(np.array([1.0, 2.0, 4.0], np.float32)))
    assert mask(x, q) == [[1, 1, 1], [0, 0, 1]]


def test_gradient_of_blocks() -> None:
    # mxfp4: 7.9 gives the block scale 1, whose largest value is 6; 5.0 in the second block gives 1 as well.
    x = torch.zeros(1, 64)
    x[0, :4] = torch.tensor([7.9, 6.0, -6.5, 1.0])
    x[0, 32:34] = torch.tensor([5.0, -5.0])
    outside = [i for i, value in enumerate(mask(x, Quantizer("mxfp4"))[0]) if not value]
    assert outside == [0, 2]
    moved = mask(x.T.contiguous(), Quantizer("mxfp4", PerBlock(32, 0)))
    assert [i for i, (value,) in enumerate(moved) if not value] == [0, 2]
    assert np.all(mask(x, Quantizer("int4", PerBlock(8), "mse")))
    assert np.all(mask(x[:, :60] * 3, Quantizer("nvfp4")))
    ints = torch.tensor([[1.99, -1.5, 1.0, -1.99] + [0.0] * 28])  # mxint8: largest value 127/64
    assert mask(ints, Quantizer("mxint8"))[0][:4] == [0, 1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["e2m1", "int4", "int8", "e4m3", "uint8", "nf4"])
def test_the_value_that_sets_the_scale_has_a_gradient(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(64, 50, generator=torch.Generator().manual_seed(1)).to(dtype)
    inside = inside_range(x, Quantizer(name, PerChannel(0), "max"))
    if name != "uint8":
        assert inside.all()
    else:  # the zero point is rounded: one end of the range may lie outside
        assert inside.float().mean() > 0.97


def test_gradients_of_a_layer_go_to_the_master_weight_and_the_input() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 5), torch.randn(3, 6, requires_grad=True)
    target = torch.randn(3, 5)
    with fpsim.quantize_(layer, Policy.uniform("int4", "int8", scale="max")) as handle:
        y = layer(x)
        (y * target).sum().backward()
        w = handle.weights[""].rounded
    inputs = Quantizer("int8", PerChannel(0), "max")(x.detach())
    assert torch.allclose(layer.weight.grad, target.T @ inputs)
    assert torch.allclose(x.grad, target @ w)
    assert torch.allclose(layer.bias.grad, target.sum(0))
    assert layer.weight.grad_fn is None
    assert not w.requires_grad


def test_the_gradient_stops_outside_the_weights_range() -> None:
    layer = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[1.0, 1.0]])
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.5]]))
    with fpsim.quantize_(layer, Policy.uniform("int4", scale="max")):
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[2.0, 0.5]]))  # the scale stays that of 1.0
        layer(x).sum().backward()
    assert layer.weight.grad.tolist() == [[0.0, 1.0]]
