"""Layers computed as a tensor core does, and how far results are apart."""

from __future__ import annotations

from typing import Any

import torch
from tiny_layers import STOCK
from torch import Tensor, nn

import fpsim
from fpsim import Policy

#: Stock layers that tensor cores compute.
RUNS = [name for name in STOCK if "transposed" not in name and name != "conv3d"]


@torch.no_grad()
def computed(model: nn.Module, x: Tensor, policy: Policy, arithmetic: Any = "hopper", **options: Any) -> Tensor:
    """The output of a model on a tensor core."""
    with fpsim.quantize_(model, policy, arithmetic=arithmetic, **options):
        result: Tensor = model(x)
        return result


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def distance(x: Tensor, y: Tensor) -> float:
    return float((x - y).norm() / y.norm())
