"""What rounds a layer's input: samples that do not touch each other, any layout."""

from __future__ import annotations

import pytest
import torch
from tiny_layers import STOCK, by_hand
from torch import Tensor, nn

import fpsim
from fpsim import PerTensor, Policy, Quantizer
from fpsim.model.operands import ActivationOperand


@pytest.mark.parametrize("acts", ["int8", "e4m3", "uint8", "nvfp4", "mxfp4"])
@pytest.mark.parametrize("case", ["linear", "conv2d", "own forward", "linear, no bias, 3 axes"])
def test_dynamic_scales_are_each_samples_own(case: str, acts: str) -> None:
    build, x = STOCK[case]
    x = x * torch.tensor([1.0, 30.0, 0.01]).reshape(-1, *[1] * (x.ndim - 1))
    rounded: list[Tensor] = []
    with torch.no_grad(), fpsim.quantize_(build(), Policy.uniform(acts=acts)) as handle:
        operand = handle.acts[""]
        rounded = [operand(x[i : i + 1]) for i in range(3)]
        assert torch.equal(operand(x), torch.cat(rounded))
        assert torch.equal(operand(x.flip(0)), torch.cat(rounded).flip(0))
    leaf = x.clone().requires_grad_()
    assert torch.equal(operand(leaf).detach(), torch.cat(rounded))


@pytest.mark.parametrize("case", ["linear", "conv1d", "conv2d", "conv3d", "transposed 2d"])
@pytest.mark.parametrize("acts", ["int4", "mxfp4"])
def test_an_input_without_a_batch_is_one_sample(case: str, acts: str) -> None:
    build, x = STOCK[case]
    layer = build()
    with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform(acts=acts)) as handle:
        operand = handle.acts[""]
        assert torch.equal(operand(x[0]), operand(x[:1])[0])
        assert torch.allclose(layer(x[0]), layer(x[:1])[0], atol=1e-6)


def test_an_empty_batch_passes() -> None:
    layer = nn.Linear(4, 3)
    for calibration in (None, [torch.randn(2, 4)]):
        with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform("int4", "int8"), calibration):
            assert layer(torch.empty(0, 4)).shape == (0, 3)


@pytest.mark.parametrize("name", ["e4m3", "uint8", "nf4"])
@pytest.mark.parametrize(
    "x",
    [
        STOCK["conv2d"][1],
        STOCK["conv2d"][1].to(memory_format=torch.channels_last),
        STOCK["conv2d"][1][:, :, 1:],
        torch.randn(2, 5, 6).transpose(1, 2),
        torch.randn(6, 5).T,
        torch.randn(3, 4).double(),
        torch.randn(3, 4).bfloat16(),
        torch.tensor(2.5),
    ],
    ids=["contiguous", "channels last", "cut", "transposed", "transposed matrix", "double", "bfloat16", "no axis"],
)
def test_fixed_scales_give_the_quantizers_values_in_any_layout(x: Tensor, name: str) -> None:
    q = Quantizer(name, PerTensor(), "max").fit(torch.randn(100, generator=torch.Generator().manual_seed(0)))
    y = ActivationOperand(q)(x)
    assert torch.equal(y, q(x))
    assert y.stride() == q(x).stride()


def test_by_hand_is_not_the_layer_itself() -> None:
    build, x = STOCK["conv2d"]
    layer = build()
    assert torch.equal(by_hand(layer, x, weights=None, acts=None), layer(x).detach())
