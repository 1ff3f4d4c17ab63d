"""Quantized layers on a tensor core: what it multiplies, what torch does afterwards, and that FP32 stays as it was."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from tensor_core_runs import RUNS, computed, distance, randn
from tiny_layers import STOCK, OwnConvForward, Standardized, quantized
from torch import nn

import fpsim
from fpsim import PerChannel, Policy, Quantizer
from fpsim.model.arithmetic import named
from fpsim.tensorcore import matmul

FP8, INT8 = Policy.uniform("e4m3", "e4m3"), Policy.uniform("int8", "int8")


@pytest.mark.parametrize("weights", ["e4m3", "e2m1"])
def test_a_linear_layer_by_hand(weights: str) -> None:
    """Both hold in e4m3; grid values are multiplied, then one product by s_a·s_w and one sum with the bias."""
    layer, x = nn.Linear(200, 6), randn(5, 200)
    fitted = Quantizer(weights, PerChannel(0)).fit(layer.weight.detach()).scales
    with torch.no_grad():
        handle = fpsim.quantize_(
            layer, Policy.uniform(weights, "e4m3"), [x], arithmetic=named("hopper", promote_every=64)
        )
        scales = handle.acts[""].quantizer.scales
        found = layer(x)
    assert fitted is not None
    assert scales is not None
    a = fpsim.quantize(x.numpy() / scales.scale[0], "e4m3")
    b = fpsim.quantize(layer.weight.detach().numpy() / fitted.scale[:, None], weights)
    sums = matmul(a, b.T, arch="hopper", dtype="e4m3", pad=True, promote_every=64)
    wanted = sums * (scales.scale[0] * fitted.scale) + layer.bias.detach().numpy()
    assert found.numpy().tobytes() == wanted.tobytes()
    assert handle.products == {"": "e4m3 (wgmma, K 32)"}


@pytest.mark.parametrize("name", RUNS)
def test_integers_are_what_torch_computes(name: str) -> None:
    """Their sums are exact, so only the roundings of FP32 differ; every shape and option of layers comes through."""
    make, x = STOCK[name]
    assert distance(computed(make(), x, INT8), quantized(make(), x, INT8)) < 2e-7


@pytest.mark.parametrize("name", RUNS)
def test_fp8_sums_lose_what_13_bits_lose(name: str) -> None:
    make, x = STOCK[name]
    assert distance(computed(make(), x, FP8), quantized(make(), x, FP8)) < 2e-3


@pytest.mark.parametrize("kind", [OwnConvForward, Standardized])
def test_classes_that_transform_their_weight(kind: Any) -> None:
    torch.manual_seed(0)
    layer, x = kind(4, 5, 3), randn(2, 4, 6, 6)
    assert distance(computed(layer, x, INT8), quantized(layer, x, INT8)) < 2e-7


def test_the_hopper_core_errs_more_than_promotion_and_blackwell() -> None:
    layer, x = nn.Linear(4096, 16, bias=False), randn(4, 4096).abs()
    with torch.no_grad():
        layer.weight.abs_()
    arithmetics = ("hopper", named("hopper", promote_every=128), "blackwell-sm100")
    exact = quantized(layer.double(), x.double(), FP8)
    layer.float()
    errors = [distance(computed(layer, x, FP8, each).double(), exact) for each in arithmetics]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_a_scale_a_sample() -> None:
    """Without a calibration each sample has a scale of its own, so that a batch is its samples."""
    layer, x = nn.Conv2d(3, 4, 3), randn(3, 3, 5, 5) * torch.tensor([1.0, 20.0, 0.01]).reshape(3, 1, 1, 1)
    together = computed(layer, x, FP8)
    assert torch.equal(together, torch.cat([computed(layer, each[None], FP8) for each in x]))
    assert torch.equal(computed(layer, x[0], FP8), together[0])


@pytest.mark.parametrize("fmt", ["mxfp8", "mxfp4", "nvfp4"])
@pytest.mark.parametrize("channels", [64, 40])
def test_blocks_on_blackwell(fmt: str, channels: int) -> None:
    layer, x = nn.Conv2d(channels, 8, 3, padding=1), randn(2, channels, 4, 4)
    found = computed(layer, x, Policy.uniform(fmt, fmt), "blackwell-sm100")
    assert distance(found, quantized(layer, x, Policy.uniform(fmt, fmt))) < 1e-6
    linear, rows = nn.Linear(channels, 8), randn(2, 3, channels)
    found = computed(linear, rows, Policy.uniform(fmt, fmt), "blackwell-sm120")
    assert distance(found, quantized(linear, rows, Policy.uniform(fmt, fmt))) < 1e-6


@pytest.mark.parametrize("bias", [6.37, 21, -2.5])
def test_a_real_bias_is_part_of_the_scale(bias: float) -> None:
    fmt = fpsim.format("e2m1", bias=bias)
    layer, x = nn.Linear(64, 8), randn(4, 64)
    policy = Policy.uniform(fmt, fmt)
    assert distance(computed(layer, x, policy), quantized(layer, x, policy)) < 1e-3


def test_zero_points() -> None:
    layer, x = nn.Linear(64, 8), randn(4, 64) + 1
    policy = Policy.uniform("uint4", "uint4")
    assert distance(computed(layer, x, policy), quantized(layer, x, policy)) < 2e-7


def test_a_split_layer_is_two_products() -> None:
    layer = nn.Conv2d(6, 4, 3)
    x = torch.cat([randn(2, 2, 5, 5), 30 * randn(2, 4, 5, 5, seed=1)], dim=1)
    options: dict[str, Any] = {"split": {"": 2}}
    with torch.no_grad(), fpsim.quantize_(layer, INT8, **options):
        wanted = layer(x)
    assert distance(computed(layer, x, INT8, **options), wanted) < 2e-7
    assert distance(computed(layer, x, INT8), wanted) > 1e-4


def test_learned_weights_are_multiplied() -> None:
    layer, x = nn.Linear(64, 8), randn(4, 64)
    nearest = Quantizer("int4", PerChannel(0)).fit(layer.weight.detach())
    assert nearest.scales is not None
    step = torch.tensor(nearest.scales.scale)[:, None]
    learned = {"": (torch.floor(layer.weight.detach() / step).clamp(-7, 7) * step)}
    policy = Policy.uniform("int4", "int8")
    with torch.no_grad(), fpsim.quantize_(layer, policy, weights=learned):
        wanted = layer(x)
    assert distance(computed(layer, x, policy, weights=learned), wanted) < 2e-7
    assert distance(computed(layer, x, policy), wanted) > 1e-2


def test_a_weight_that_changes_is_multiplied_anew() -> None:
    layer, x = nn.Linear(64, 8), randn(4, 64)
    with torch.no_grad(), fpsim.quantize_(layer, INT8, arithmetic="hopper"):
        before = layer(x)
        layer.weight.mul_(2)
        assert not torch.allclose(layer(x), before)


def test_without_operands_and_afterwards_the_model_is_itself() -> None:
    model, x = nn.Sequential(nn.Linear(64, 8), nn.Conv1d(4, 3, 3)), randn(4, 64)
    with torch.no_grad():
        plain = model(x)
        handle = fpsim.quantize_(model, FP8, arithmetic="hopper")
        assert not torch.equal(model(x), plain)
        with handle.bypass():
            assert torch.equal(model(x), plain)
        handle.remove()
        assert torch.equal(model(x), plain)


def test_fp32_is_what_it_was() -> None:
    model, x = nn.Sequential(nn.Linear(64, 8), nn.Conv1d(4, 3, 3)), randn(4, 64)
    without = quantized(model, x, FP8)
    for arithmetic in (None, "fp32"):
        with torch.no_grad(), fpsim.quantize_(model, FP8, arithmetic=arithmetic) as handle:
            assert handle.products == {}
            assert model(x).numpy().tobytes() == without.numpy().tobytes()


def test_gradients_are_those_of_fp32() -> None:
    layer, x = nn.Linear(64, 8), randn(4, 64).requires_grad_()
    gradients = []
    for arithmetic in ("fp32", "hopper"):
        with fpsim.quantize_(layer, FP8, arithmetic=arithmetic):
            result = layer(x)
            gradients.append(torch.autograd.grad(result.sum(), [x, layer.weight, layer.bias]))
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    with torch.no_grad():
        assert torch.equal(result, computed(layer, x, FP8))


def test_a_copy_of_the_model_computes_with_its_own_weights() -> None:
    layer, x = nn.Sequential(nn.Linear(64, 8)), randn(4, 64)
    with torch.no_grad(), fpsim.quantize_(layer, FP8, arithmetic="hopper"):
        before, twin = layer(x), copy.deepcopy(layer)
        twin[0].weight.mul_(-1)  # type: ignore[operator]
        twin[0].bias.mul_(-1)  # type: ignore[operator]
        assert np.array_equal(twin(x).numpy(), -before.numpy())
        assert torch.equal(layer(x), before)
