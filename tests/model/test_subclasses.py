"""Layers of other people's classes: transformed weights, layers inside layers, hooks, products of their own."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_layers import (
    ACTS,
    POLICY,
    STOCK,
    WEIGHTS,
    LowRank,
    OwnConvForward,
    Standardized,
    by_hand,
    quantized,
    weight_normed,
)
from torch import Tensor, nn

import fpsim
from fpsim import PerChannel, Policy, Quantizer
from fpsim.errors import FpsimError


def test_an_overridden_inner_convolution_is_quantized_after_its_transform() -> None:
    torch.manual_seed(0)
    layer, x = OwnConvForward(3, 4, 3, padding=1), torch.randn(2, 3, 6, 6)
    w = Quantizer(WEIGHTS, PerChannel(0))(layer.weight.detach() * 2)
    wanted = F.conv2d(Quantizer(ACTS, PerChannel(0), "max")(x), w, layer.bias, padding=1)
    assert torch.equal(quantized(layer, x), wanted.detach())


def test_a_standardized_weight_is_quantized_after_its_transform() -> None:
    torch.manual_seed(0)
    layer, x = Standardized(3, 4, 3), torch.randn(2, 3, 6, 6)
    inputs = Quantizer(ACTS, PerChannel(0), "max")(x)
    after = F.conv2d(inputs, Quantizer(WEIGHTS, PerChannel(0))(layer.standard().detach()), layer.bias)
    y = quantized(layer, x)
    assert torch.equal(y, after.detach())
    with fpsim.quantize_(layer, POLICY) as handle, torch.no_grad():
        layer(x)
        assert len(handle.weights[""].rounded.unique()) < layer.weight.numel() / 2  # on a grid: rounded last


@pytest.mark.parametrize("kind", ["new", "old"])
def test_weight_norm(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        layer = weight_normed(kind)
    x = torch.randn(2, 3, 6, 6)
    with torch.no_grad():
        before = layer(x)
        w = Quantizer(WEIGHTS, PerChannel(0))(layer.weight.detach())
        wanted = F.conv2d(Quantizer(ACTS, PerChannel(0), "max")(x), w, layer.bias)
        assert torch.equal(quantized(layer, x), wanted)
        assert torch.equal(layer(x), before)
    with fpsim.quantize_(layer, POLICY):
        layer(x).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


def test_layers_inside_a_layer_each_have_their_own_operands() -> None:
    torch.manual_seed(0)
    layer, x = LowRank(6, 5, 2), torch.randn(3, 6)
    acts, weights = Quantizer(ACTS, PerChannel(0), "max"), Quantizer(WEIGHTS, PerChannel(0))

    def product(linear: nn.Linear, inputs: Tensor, rounded: bool = True) -> Tensor:
        w = linear.weight.detach()
        return F.linear(acts(inputs), weights(w), linear.bias) if rounded else F.linear(inputs, w, linear.bias)

    whole = product(layer, x) + product(layer.up, product(layer.down, x))
    assert torch.equal(quantized(layer, x), whole.detach())
    # Skipped inner layers keep full precision; they must not be taken for the outer layer's product.
    inner_skipped = product(layer, x) + product(layer.up, product(layer.down, x, False), False)
    assert torch.equal(quantized(layer, x, POLICY.skip("up", "down")), inner_skipped.detach())
    outer_skipped = product(layer, x, False) + product(layer.up, product(layer.down, x))
    assert torch.equal(quantized(layer, x, POLICY.rule("", weights=None, acts=None)), outer_skipped.detach())


def test_an_instances_own_forward_is_kept() -> None:
    """As hooks of other libraries put it on a module."""
    build, x = STOCK["conv2d"]
    layer: Any = build()
    original, calls = layer.forward, []

    def hooked(inputs: Tensor) -> Tensor:
        calls.append(inputs.shape)
        return original(inputs + 1)

    layer.forward = hooked
    assert torch.equal(quantized(layer, x), by_hand(layer, x + 1))
    assert layer.forward is hooked
    assert len(calls) == 1


def test_forward_hooks_still_run() -> None:
    build, x = STOCK["linear"]
    layer = build()
    layer.register_forward_pre_hook(lambda _m, args: (args[0] * 2,))
    layer.register_forward_hook(lambda _m, _a, y: y + 1)
    assert torch.equal(quantized(layer, x), by_hand(layer, x * 2) + 1)


def test_torchs_transformer_layers_do_not_use_their_fused_kernel() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)).eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        fused = model(x)
        with fpsim.quantize_(model, Policy.uniform("e2m1", "e2m1"), [x]) as handle:
            y = model(x)
            seen = []
            handle.acts["0.linear1"].watch = lambda a, _b: seen.append(a)
            model(x)
        assert [layer.name for layer in handle.coverage.quantized] == ["0.linear1", "0.linear2"]
        assert len(seen) == 1
        assert not torch.allclose(y, fused, atol=1e-3)
        assert torch.equal(model(x), fused)
    reasons = {left.name: left.reason for left in handle.coverage.left}
    assert "MultiheadAttention" in reasons["0.self_attn.out_proj"]
    assert "MultiheadAttention" in reasons["0.self_attn"]


def test_a_layer_that_multiplies_in_its_own_way_is_an_error_not_left_out_silently() -> None:
    class ByHand(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return x @ self.weight.T

    model = nn.Sequential(ByHand(3, 2))
    with pytest.raises(FpsimError, match=r"layer '0' \(ByHand\) calls neither .* skip it"):
        quantized(model, torch.randn(1, 3))
    with pytest.raises(FpsimError, match="the calibration ran none of the model's layers"):
        fpsim.quantize_(model, POLICY, [torch.randn(1, 3)])
    assert torch.equal(quantized(model, torch.ones(1, 3), POLICY.skip("0")), model(torch.ones(1, 3)).detach())


def test_an_error_inside_a_forward_is_passed_on() -> None:
    class Wrong(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        quantized(Wrong(3, 2), torch.randn(1, 3))
