"""Layers of many kinds with an input each, and how their quantized product is computed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import fpsim
from fpsim import PerChannel, Policy, Quantizer

WEIGHTS, ACTS = "e2m1", "int8"


class OwnForward(nn.Linear):
    """A subclass with a forward of its own."""

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        return F.linear(input=x, weight=self.weight, bias=self.bias) * scale


class OwnConvForward(nn.Conv2d):
    """A subclass that overrides what Conv2d.forward calls."""

    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.conv2d(x, weight * 2, bias, self.stride, self.padding, self.dilation, self.groups)


class Standardized(nn.Conv2d):
    """Weight standardization: the weight is transformed at run time."""

    def standard(self) -> Tensor:
        w = self.weight
        return (w - w.mean(dim=(1, 2, 3), keepdim=True)) / w.std(dim=(1, 2, 3), keepdim=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.standard(), self.bias, self.stride, self.padding, self.dilation, self.groups)


class LowRank(nn.Linear):
    """A linear layer with a correction by two linear layers inside it."""

    def __init__(self, features: int, out: int, rank: int) -> None:
        super().__init__(features, out)
        self.down, self.up = nn.Linear(features, rank, bias=False), nn.Linear(rank, out, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) + self.up(self.down(x))


def _layer(kind: Any, *args: Any, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return kind(*args, **options)


def _randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


STOCK: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: _layer(nn.Linear, 6, 5), _randn(3, 6)),
    "linear, no bias, 3 axes": (lambda: _layer(nn.Linear, 6, 5, bias=False), _randn(3, 4, 6)),
    "conv1d": (lambda: _layer(nn.Conv1d, 4, 6, 3, padding=1), _randn(3, 4, 9)),
    "conv2d": (lambda: _layer(nn.Conv2d, 4, 6, 3, padding=1), _randn(3, 4, 5, 5)),
    "conv3d": (lambda: _layer(nn.Conv3d, 2, 3, 2), _randn(2, 2, 3, 4, 3)),
    "grouped": (lambda: _layer(nn.Conv2d, 4, 6, 3, groups=2), _randn(2, 4, 5, 5)),
    "depthwise": (lambda: _layer(nn.Conv2d, 4, 8, 3, groups=4), _randn(2, 4, 5, 5)),
    "dilated, strided": (lambda: _layer(nn.Conv2d, 2, 3, 3, dilation=2, stride=2), _randn(2, 2, 9, 9)),
    "circular": (lambda: _layer(nn.Conv2d, 2, 3, 3, padding=1, padding_mode="circular"), _randn(2, 2, 5, 5)),
    "same": (lambda: _layer(nn.Conv1d, 2, 3, 3, padding="same"), _randn(2, 2, 7)),
    "transposed 1d": (lambda: _layer(nn.ConvTranspose1d, 4, 3, 3, stride=2), _randn(2, 4, 5)),
    "transposed 2d": (lambda: _layer(nn.ConvTranspose2d, 4, 3, 3, output_padding=1, stride=2), _randn(2, 4, 5, 5)),
    "transposed 3d": (lambda: _layer(nn.ConvTranspose3d, 2, 3, 2), _randn(2, 2, 3, 3, 2)),
    "transposed, grouped": (lambda: _layer(nn.ConvTranspose2d, 4, 6, 3, groups=2), _randn(2, 4, 5, 5)),
    "own forward": (lambda: _layer(OwnForward, 6, 5), _randn(3, 6)),
}


def by_hand(layer: Any, x: Tensor, *, weights: str | None = WEIGHTS, acts: str | None = ACTS) -> Tensor:
    """What torch's own class computes with operands from two quantizers: mse a channel, largest magnitude a sample."""
    out = 1 if isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) else 0
    w = layer.weight.detach()
    w = w if weights is None else Quantizer(weights, PerChannel(out))(w)
    x = x if acts is None else Quantizer(acts, PerChannel(0), "max")(x)
    plain = type(layer) if type(layer) in PLAIN else next(kind for kind in PLAIN if isinstance(layer, kind))
    twin = plain.__new__(plain)
    twin.__dict__.update({key: value for key, value in vars(layer).items() if key != "forward"})
    twin._parameters = {**layer._parameters, "weight": nn.Parameter(w)}
    with torch.no_grad():
        return plain.forward(twin, x)  # type: ignore[no-any-return]


PLAIN = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


def weight_normed(kind: str) -> nn.Module:
    """A convolution with weight norm: ``new`` by parametrization, ``old`` by a hook."""
    conv = _layer(nn.Conv2d, 3, 4, 3)
    norm = parametrizations.weight_norm if kind == "new" else torch.nn.utils.weight_norm
    with torch.no_grad():
        normed = norm(conv)
    return normed


POLICY = Policy.uniform(WEIGHTS, ACTS)


@torch.no_grad()
def quantized(model: nn.Module, x: Tensor, policy: Policy = POLICY) -> Tensor:
    """The output of a model under a policy, with dynamic scales."""
    with fpsim.quantize_(model, policy):
        result: Tensor = model(x)
        return result


X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(3))


def mixed_model() -> nn.Module:
    """A model for ``X`` with layers of many kinds, one inside the other."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(4, 3, 1), weight_normed("new"), nn.ConvTranspose2d(4, 4, 1))
    return nn.Sequential(nn.Conv2d(3, 4, 3), Standardized(4, 4, 3), inner, nn.Flatten(), LowRank(16, 5, 2))
