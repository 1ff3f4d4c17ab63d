"""Small feature networks made on the spot: TorchScript ones, and an Inception of few channels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

#: What the last block's branches are called, with their kernels.
_LAST = {"conv": (1, 1), "tower_conv": (1, 1), "tower_mixed_conv": (1, 3), "tower_mixed_conv_1": (3, 1),
         "tower_1_conv": (1, 1), "tower_1_conv_1": (3, 3), "tower_1_mixed_conv": (1, 3),
         "tower_1_mixed_conv_1": (3, 1), "tower_2_conv": (1, 1)}  # fmt: skip


class Grid(torch.nn.Module):
    """Means over a 2 x 2 grid: 12 features."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


class WithMaps(torch.nn.Module):
    """Three features, and maps of three channels at 2 x 2 positions."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.mean(dim=[2, 3]), torch.nn.functional.adaptive_avg_pool2d(x, 2)


class Broken(torch.nn.Module):
    """NaN for black images, features for others."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(1.0 + x.mean(dim=[2, 3])) * 0.0 + torch.where(x.mean(dim=[2, 3]) == -1.0, torch.nan, 1.0)


class Wrong(torch.nn.Module):
    """No features: one number for all images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean()


def save(module: torch.nn.Module, path: Path) -> Path:
    """Keep a module as TorchScript."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


def narrow_inception(prefix: str = "", width: int = 8, seed: int = 0) -> dict[str, torch.Tensor]:
    """Inception's tensors with ``width`` channels in every convolution."""
    rng, tensors = np.random.default_rng(seed), {}

    def conv(name: str, channels: int, kernel: tuple[int, int]) -> None:
        shape = (width, channels, *kernel)
        tensors[f"{name}.weight"] = rng.normal(0, (2 / (channels * kernel[0] * kernel[1])) ** 0.5, shape)
        for part, low, high in (("beta", -0.1, 0.1), ("mean", -0.1, 0.1), ("var", 0.5, 1.5)):
            tensors[f"{name}.{part}"] = rng.uniform(low, high, width)

    def chain(prefix: str, channels: int, *kernels: tuple[int, int]) -> None:
        for i, kernel in enumerate(kernels):
            conv(f"{prefix}.conv{f'_{i}' if i else ''}".lstrip("."), channels if i == 0 else width, kernel)

    one, three, five, wide, tall = (1, 1), (3, 3), (5, 5), (1, 7), (7, 1)
    chain("", 3, three, three, three, one, three)
    channels = width
    for i in range(11):
        block = f"mixed_{i}" if i else "mixed"
        if i in (9, 10):
            for name, kernel in _LAST.items():
                after = "mixed" in name or name == "tower_1_conv_1"
                conv(f"{block}.{name}", width if after else channels, kernel)
            channels = 6 * width
            continue
        if i != 8:
            conv(f"{block}.conv", channels, three if i == 3 else one)
        towers = {
            3: ((one, three, three), (), ()), 8: ((one, three), (one, wide, tall, three), ()),
        }.get(i, ((one, five), (one, three, three), (one,)) if i < 3
              else ((one, wide, tall), (one, tall, wide, tall, wide), (one,)))  # fmt: skip
        for tower, kernels in zip(("tower", "tower_1", "tower_2"), towers, strict=True):
            chain(f"{block}.{tower}", channels, *kernels)
        channels = {3: 2 * width + channels, 8: 2 * width + channels}.get(i, 4 * width)
    return {prefix + name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()}
