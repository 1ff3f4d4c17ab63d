"""A weight that changes, in whatever way, is rounded again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_layers import STOCK, Standardized
from torch import nn

import fpsim
from fpsim import PerChannel, Policy, Quantizer
from fpsim.model.changes import fingerprint
from fpsim.model.operands import WeightOperand


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
