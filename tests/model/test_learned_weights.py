"""Rounded weights that are given to layers: computed with bit for bit, checked, and dropped when parameters change."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import fpsim
from fpsim import FpsimError, Policy, Quantizer
from fpsim.quant.rounding.grid import rounding_grid


def net() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(16, 5))


POLICY = Policy.uniform("e2m1", weights_granularity="tensor")
X = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def lower(weight: torch.Tensor, quantizer: Quantizer | None = None) -> torch.Tensor:
    return rounding_grid(weight.detach(), quantizer or Quantizer("e2m1")).lower


def test_a_layer_computes_with_the_given_weight() -> None:
    model, plain = net(), net()
    given = lower(model[3].weight)
    with torch.no_grad():
        exact = model(X)
        plain[0].weight.copy_(Quantizer("e2m1")(plain[0].weight.detach()))
        plain[3].weight.copy_(given)
        expected = plain(X)
        with fpsim.quantize_(model, POLICY, weights={"3": given}) as handle:
            assert torch.equal(model(X), expected)
            with handle.bypass():
                assert torch.equal(model(X), exact)
            layers = {layer.name: layer.weights for layer in handle.coverage.quantized}
            assert layers["3"] == f"{layers['0']}, learned rounding"
        assert torch.equal(model(X), exact)


def test_it_holds_until_the_parameter_changes() -> None:
    model = net()
    given = lower(model[3].weight)
    with torch.no_grad(), fpsim.quantize_(model, POLICY, weights={"3": given}) as handle:
        kept = {key: value.clone() for key, value in model.state_dict().items()}
        model(X)
        assert torch.equal(handle.weights["3"].rounded, given)
        model[3].weight.data.mul_(1.01)
        model(X)
        assert not torch.equal(handle.weights["3"].rounded, given)
        assert torch.equal(handle.weights["3"].rounded, handle.weights["3"].quantizer(model[3].weight))
        model.load_state_dict(kept)
        model(X)
        assert torch.equal(handle.weights["3"].rounded, given)


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4", "uint4", "nf4"])
def test_other_formats_with_their_own_scales(name: str) -> None:
    model = net()
    policy = Policy.uniform(name)
    with fpsim.quantize_(model, policy) as handle:
        given = lower(model[3].weight, handle.weights["3"].quantizer)
    with fpsim.quantize_(model, policy, weights={"3": given}) as handle:
        model(X)
        assert torch.equal(handle.weights["3"].rounded, given)


def test_gradients_pass_straight_through() -> None:
    model = net()
    given = lower(model[3].weight)
    with fpsim.quantize_(model, POLICY, weights={"3": given}):
        model(X).sum().backward()
    assert model[3].weight.grad is not None
    assert model[3].weight.grad.abs().sum() > 0


class Doubled(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(input, 2 * self.weight, self.bias)


def doubled() -> Any:
    model = net()
    model[3] = Doubled(16, 5)
    return model


REFUSED: dict[str, Any] = {
    "another scale": (net, lambda w: 1.1 * lower(w), "has values that e2m1 with the layer's scales does not have"),
    "between": (net, lambda w: w.detach().clone(), "it was learned for another format, scale or model"),
    "shape": (net, lambda w: lower(w)[:, :3], r"is float32 \[5, 3\], but the layer's is float32 \[5, 16\]"),
    "dtype": (net, lambda w: lower(w).double(), r"is float64 \[5, 16\], but the layer's is float32"),
    "a class of its own": (doubled, lambda w: lower(w), "'3' computes its weight at run time"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    build, change, wanted = REFUSED[case]
    model = build()
    with pytest.raises(FpsimError, match=wanted) as caught:
        fpsim.quantize_(model, POLICY, weights={"3": change(model[3].weight)})
    assert "\n" not in str(caught.value)
    assert not any("forward" in vars(part) for part in model.modules())


def test_a_weight_that_the_policy_leaves_alone_is_refused() -> None:
    model = net()
    with pytest.raises(FpsimError, match="learned weight for '3', but the policy does not quantize that weight"):
        fpsim.quantize_(model, POLICY.skip("3"), weights={"3": lower(model[3].weight)})
