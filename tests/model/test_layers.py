"""Every kind of layer computes with quantized operands, whoever wrote its class."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_layers import (
    ACTS,
    POLICY,
    STOCK,
    WEIGHTS,
    OwnConvForward,
    Standardized,
    by_hand,
    quantized,
    weight_normed,
)
from torch import nn

import fpsim
from fpsim import PerBlock, Policy, Quantizer
from fpsim.model.layers import has_plain_weight, is_stock, quantizable


@pytest.mark.parametrize("case", STOCK)
def test_equals_the_explicit_computation(case: str) -> None:
    build, x = STOCK[case]
    layer = build()
    plain = layer(x).detach()
    y = quantized(layer, x)
    assert torch.equal(y, by_hand(layer, x))
    assert not torch.equal(y, plain)
    for only in ({"weights": WEIGHTS}, {"acts": ACTS}):
        wanted = by_hand(layer, x, **{"weights": None, "acts": None, **only})
        assert torch.equal(quantized(layer, x, Policy.uniform(**only)), wanted)


@pytest.mark.parametrize("case", STOCK)
def test_static_scales_equal_the_explicit_computation(case: str) -> None:
    build, x = STOCK[case]
    layer = build()
    with torch.no_grad(), fpsim.quantize_(layer, Policy.uniform(WEIGHTS, ACTS, scale="max"), [x]):
        y = layer(x)
    inputs = Quantizer(ACTS, scale="max")(x)
    plain = Policy.uniform(WEIGHTS, scale="max")
    assert torch.equal(y, quantized(layer, inputs, plain))


@pytest.mark.parametrize("case", STOCK)
def test_blocks_run_along_input_channels(case: str) -> None:
    build, x = STOCK[case]
    layer = build()
    transposed, linear = case.startswith("transposed"), isinstance(layer, nn.Linear)
    w = Quantizer("mxfp4", PerBlock(32, 0 if transposed else 1))(layer.weight.detach())
    inputs = Quantizer("mxfp8", PerBlock(32, -1 if linear else 1))(x)
    y = quantized(layer, x, Policy.uniform("mxfp4", "mxfp8"))
    kept = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.copy_(w)
        assert torch.equal(y, layer(inputs))
        layer.weight.copy_(kept)


def test_a_keyword_argument_reaches_the_layers_own_forward() -> None:
    build, x = STOCK["own forward"]
    layer = build()
    with torch.no_grad(), fpsim.quantize_(layer, POLICY):
        assert torch.equal(layer(x, scale=2.0), 2 * by_hand(layer, x))


def test_shared_modules_and_tied_weights() -> None:
    torch.manual_seed(0)
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 4, bias=False))
    model[3].weight = shared.weight
    x = torch.randn(3, 4)
    wanted = by_hand(model[3], by_hand(shared, F.relu(by_hand(shared, x))))
    assert torch.equal(quantized(model, x), wanted)
    assert [name for name, _ in quantizable(model)] == ["0", "3"]


def test_what_counts_as_stock() -> None:
    for case, (build, _) in STOCK.items():
        stock = case != "own forward"
        assert has_plain_weight(build()) is stock, case
        assert is_stock(build()) is (stock and "transposed" not in case), case
    assert not has_plain_weight(Standardized(3, 4, 3))
    assert not has_plain_weight(OwnConvForward(3, 4, 3))
    assert not has_plain_weight(weight_normed("new"))
