"""Split layers: two halves with scales of their own are two convolutions whose results add."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_pipelines import tiny_unet
from torch import nn

from fpsim import FpsimError, Policy, quantize_
from fpsim.model.samples import collect
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves

NAME = "up_blocks.1.resnets.1.conv_shortcut"


def unconditional() -> tuple[nn.Module, dict[str, Any]]:
    return tiny_unet(), {"sample": torch.randn(2, 1, 8, 8), "timestep": torch.tensor([3, 500])}


def quantized(weights: str | None, acts: str | None, calibrated: bool = True) -> tuple[Any, Any, Any, dict[str, int]]:
    unet, inputs = unconditional()
    splits = find_splits(unet, "shortcut")
    policy = Policy.uniform(weights, acts, scale="max")
    handle = quantize_(unet, policy, [inputs] if calibrated else None, split=splits)
    return unet, inputs, handle, splits


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_split_convolution_is_the_sum_of_two(calibrated: bool) -> None:
    unet, _, handle, splits = quantized("int4", "int8", calibrated)
    layer, at = unet.get_submodule(NAME), splits[NAME]
    x = torch.randn(2, layer.in_channels, 6, 6)
    first, second = handle.acts[NAME].first, handle.acts[NAME].second
    low, high = handle.weights[NAME].first, handle.weights[NAME].second
    with torch.no_grad():
        ours = layer(x)
        one = F.conv2d(first(x[:, :at]).clone(), low(layer.weight[:, :at].contiguous()))
        two = F.conv2d(second(x[:, at:]).clone(), high(layer.weight[:, at:].contiguous()))
    torch.testing.assert_close(ours, one + two + layer.bias[:, None, None], rtol=1e-5, atol=1e-6)
    scales = [op.quantizer.scales.scale for op in (low, high)]
    assert (scales[0] != scales[1]).any()


def test_each_half_has_the_scales_that_it_would_have_alone() -> None:
    """Values ten times as large in one half do not coarsen the other."""
    unet, _ = unconditional()
    layer, at = unet.get_submodule(NAME), find_splits(unet, "shortcut")[NAME]
    with torch.no_grad():
        layer.weight[:, :at] *= 10
    exact = layer.weight.detach()
    errors = []
    for split in (find_splits(unet, "shortcut"), None):
        with quantize_(unet, Policy.uniform("int4", scale="max"), split=split) as handle:
            rounded = handle.weights[NAME](layer.weight.detach())
            errors.append(float((rounded - exact)[:, at:].square().mean()))
    alone, _ = exact[:, at:].abs().max(dim=1, keepdim=True)
    wanted = (exact[:, at:] / (alone / 7)).round() * (alone / 7)
    with quantize_(unet, Policy.uniform("int4", scale="max"), split=find_splits(unet, "shortcut")) as handle:
        torch.testing.assert_close(handle.weights[NAME](layer.weight.detach())[:, at:], wanted)
    assert errors[0] < 0.05 * errors[1]


def test_samples_of_both_halves() -> None:
    unet, inputs = unconditional()
    splits = find_splits(unet, "all")
    found = collect(unet, [inputs], splits)
    assert {half for name, at in splits.items() for half in halves(name, at)} <= set(found)
    first, second = (found[half].values for half in halves(NAME, splits[NAME]))
    whole = found[NAME].values
    assert min(first.min(), second.min()) == whole.min()
    assert max(first.max(), second.max()) == whole.max()
    with pytest.raises(FpsimError, match="never ran layer 'up_blocks"):
        quantize_(unet, Policy.uniform(acts="int8", scale="max"), collect(unet, [inputs]), split=splits)


def test_coverage_names_the_split_and_counts_its_scales() -> None:
    unet, _, handle, splits = quantized("uint4", "uint8")
    layers = {layer.name: layer for layer in handle.coverage.quantized}
    assert layers[NAME].weights.endswith(f"split at {splits[NAME]}")
    assert layers[NAME].acts.endswith(f"split at {splits[NAME]}")
    assert "split" not in layers["conv_in"].weights
    weight = unet.get_submodule(NAME).weight
    assert layers[NAME].weight_bits == 4 * weight.numel() + 2 * len(weight) * (32 + 4)


def test_removing_restores_the_model_bit_for_bit() -> None:
    unet, inputs = unconditional()
    with torch.no_grad():
        exact = unet(**inputs).sample
        handle = quantize_(unet, Policy.uniform("int4", "int8"), [inputs], split=find_splits(unet, "all"))
        quantized = unet(**inputs).sample
        with handle.bypass():
            assert torch.equal(unet(**inputs).sample, exact)
        handle.remove()
        assert torch.equal(unet(**inputs).sample, exact)
    assert not torch.equal(quantized, exact)
    assert not any("forward" in vars(module) for module in unet.modules())


def test_gradients_pass_straight_through_both_halves() -> None:
    unet, _, handle, _ = quantized("int8", "int8", calibrated=False)
    layer = unet.get_submodule(NAME)
    x = torch.randn(2, layer.in_channels, 6, 6, requires_grad=True)
    layer(x).square().sum().backward()
    y = layer(x.detach())
    wanted = F.conv_transpose2d(2 * y, handle.weights[NAME](layer.weight.detach()))
    torch.testing.assert_close(x.grad, wanted)
    assert layer.weight.grad is not None
    assert torch.count_nonzero(layer.weight.grad) > layer.weight.numel() // 2


def test_weights_that_change_or_are_loaded_are_rounded_again() -> None:
    unet, _, handle, splits = quantized("int4", None)
    layer, operand = unet.get_submodule(NAME), handle.weights[NAME]
    before = operand(layer.weight.detach()).clone()
    assert operand(layer.weight.detach()) is operand.rounded
    unet.load_state_dict({name: 2 * p for name, p in unet.state_dict().items()})
    with torch.no_grad():
        layer(torch.randn(1, layer.in_channels, 2, 2))
    torch.testing.assert_close(operand.rounded, 2 * before)
    learned = torch.zeros_like(layer.weight)
    operand.learn(layer.weight.detach(), learned)
    assert not operand(layer.weight.detach()).any()
    with torch.no_grad():
        layer.weight[0, splits[NAME]] += 1.0
        assert operand(layer.weight.detach()).any()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"nowhere": 3}, "no layer 'nowhere'"),
        ({"conv_in": 1}, "with 1 input channels cannot be split at 1"),
        ({"conv_out": 0}, "cannot be split at 0"),
    ],
)
def test_refused_splits(split: dict[str, int], message: str) -> None:
    with pytest.raises(FpsimError, match=message):
        quantize_(tiny_unet(), Policy.uniform("int4"), split=split)


def test_blocks_are_not_split() -> None:
    unet, inputs = unconditional()
    weight, results = unet.get_submodule(NAME).weight.detach(), []
    for at in (None, find_splits(unet, "shortcut")):
        with quantize_(unet, Policy.uniform("mxfp4"), split=at, backend="numpy") as handle, torch.no_grad():
            results.append((handle.weights[NAME](weight), unet(**inputs).sample))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
