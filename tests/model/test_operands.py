"""What rounds a layer's operands: gradients, changes of the weight, and samples that do not touch each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_layers import STOCK, Standardized, by_hand
from torch import Tensor, nn

import fpsim
from fpsim import PerBlock, PerChannel, PerTensor, Policy, Quantizer
from fpsim.model.changes import fingerprint
from fpsim.model.gradients import inside_range
from fpsim.model.operands import ActivationOperand, WeightOperand
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


def test_training_rounds_the_weights_again_after_each_step() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3), torch.randn(8, 4)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    with fpsim.quantize_(layer, Policy.uniform("int4", "int8", scale="max")) as handle:
        scales = handle.weights[""].quantizer.scales
        for _ in range(30):
            optimizer.zero_grad()
            loss = (layer(x) - 1).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            with torch.no_grad():
                layer(x)
            rounded = handle.weights[""].rounded
            assert torch.equal(rounded, Quantizer("int4", PerChannel(0), scales=scales)(layer.weight.detach()))
        assert handle.weights[""].quantizer.scales is scales
    assert losses[-1] < losses[0] / 4
    assert not torch.equal(rounded, layer.weight)  # the master weight is not on the grid


def edit_in_place(layer: Any) -> None:
    layer.weight.mul_(-0.5)


def edit_data(layer: Any) -> None:
    layer.weight.data.mul_(-0.5)  # no version counter sees this


def edit_one_value(layer: Any) -> None:
    layer.weight.data[0, 1] = 0.3


def swap_channels(layer: Any) -> None:
    layer.weight.data.copy_(layer.weight.data.flip(0))


def new_data(layer: Any) -> None:
    layer.weight.data = layer.weight.data * -0.5


def new_parameter(layer: Any) -> None:
    layer.weight = nn.Parameter(layer.weight * -0.5)


def other_layout(layer: Any) -> None:
    layer.weight.data = (layer.weight.data * -0.5).to(memory_format=torch.channels_last)


CHANGES = (edit_in_place, edit_data, edit_one_value, swap_channels, new_data, new_parameter)


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("case", ["conv2d", "own forward", "transposed 2d", "grouped"])
def test_a_changed_weight_is_rounded_again(case: str, change: Any) -> None:
    build, x = STOCK[case]
    layer: Any = build()
    policy = Policy.uniform("int4", scale="max")
    with torch.no_grad(), fpsim.quantize_(layer, policy) as handle:
        stale = layer(x)
        change(layer)
        fresh = layer(x)
        scales = handle.weights[""].quantizer.scales
        axis = 1 if case.startswith("transposed") else 0
        wanted = Quantizer("int4", PerChannel(axis), scales=scales)(layer.weight)
    assert not torch.equal(fresh, stale)
    with torch.no_grad():
        layer.weight.copy_(wanted)
        assert torch.equal(fresh, layer(x))


def test_another_layout_and_type_are_followed() -> None:
    build, x = STOCK["conv2d"]
    layer: Any = build()
    with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform("int4", scale="max")) as handle:
        layer(x)
        other_layout(layer)
        layer(x)
        assert handle.weights[""].rounded.stride() == layer.weight.stride()
        layer.to(torch.bfloat16)
        assert layer(x.bfloat16()).dtype == torch.bfloat16


def test_load_state_dict_brings_fresh_scales() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), Standardized(1, 2, 3))
    other = {name: tensor * 100 for name, tensor in model.state_dict().items()}
    with torch.no_grad(), fpsim.quantize_(model, Policy.uniform("int4", scale="max")) as handle:
        before = handle.weights["0"].rounded
        model.load_state_dict(other)
        model[0](torch.ones(1, 4))
        after, weight = handle.weights["0"].rounded, model[0].weight
    # × 100 is no power of two: the scale is the new weight's own, not 100 times the old one.
    assert torch.equal(after, Quantizer("int4", PerChannel(0), "max")(weight.detach()))
    assert torch.allclose(after, before * 100)


def test_a_computed_weight_gets_fresh_scales_when_it_changes() -> None:
    torch.manual_seed(0)
    layer, x = Standardized(3, 4, 3), torch.randn(2, 3, 6, 6)
    with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform("int4")) as handle:
        layer(x)
        operand = handle.weights[""]
        first = operand.quantizer.scales
        layer(x)
        assert operand.quantizer.scales is first  # equal values: nothing is done again
        layer.weight.copy_(torch.randn_like(layer.weight))
        layer(x)
        assert operand.quantizer.scales is not first
        assert torch.equal(operand.rounded, Quantizer("int4", PerChannel(0))(layer.standard()))


def test_an_unchanged_weight_is_not_rounded_again() -> None:
    calls = []

    class Counting(Quantizer):
        def __call__(self, x: Any, **options: Any) -> Any:
            calls.append(1)
            return super().__call__(x, **options)

    operand, weight = WeightOperand(Counting("int4", PerChannel(0)), refit=False), torch.randn(5, 7)
    for _ in range(4):
        operand(weight)
    assert len(calls) == 1


def test_inference_mode_and_training_in_turn() -> None:
    layer, x = Standardized(3, 4, 3), torch.randn(2, 3, 6, 6)
    with fpsim.quantize_(layer, Policy.uniform("int4", "int8")):
        with torch.inference_mode():
            y = layer(x)
        z = layer(x)
        z.sum().backward()
        with torch.inference_mode():
            assert torch.equal(layer(x), y)
    assert torch.equal(y, z)
    assert layer.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.float16])
def test_fingerprints(dtype: torch.dtype) -> None:
    x = torch.randn(40, 30, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    print_ = fingerprint(x)
    assert print_ == fingerprint(x.clone())
    for index in ((0, 0, 0), (39, 29, 2), (17, 3, 1)):
        y = x.clone()
        y[index] += 1
        assert fingerprint(y) != print_
    assert fingerprint(-x) != print_
    assert fingerprint(x.flip(0)) != print_
    assert fingerprint(x.flip(2)) != print_
    assert fingerprint(x.reshape(30, 40, 3)) != print_
    assert fingerprint(x[:0]) != print_


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
