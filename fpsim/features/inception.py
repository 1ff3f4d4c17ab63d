"""Inception of 2015, FID's network, with the map that sFID takes; weights under the names of TensorFlow's graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from fpsim.errors import FpsimError

#: The architecture's name in a safetensors header.
ARCHITECTURE = "inception-2015"
#: Channels of mixed_6/conv that make sFID's features: 7 · 17 · 17 = 2023 numbers.
SPATIAL_CHANNELS = 7

_PARTS = ("weight", "beta", "mean", "var")
_MIXED = ("mixed", *(f"mixed_{i}" for i in range(1, 11)))
_SHRINKING = {"conv", "mixed_3.conv", "mixed_3.tower.conv_2", "mixed_8.tower.conv_1", "mixed_8.tower_1.conv_3"}
_UNPADDED = {*_SHRINKING, "conv_1", "conv_4"}
_STEM = ("conv", "conv_1", "conv_2", "conv_3", "conv_4")
_LAST = ("conv", "tower_conv", "tower_mixed_conv", "tower_mixed_conv_1", "tower_1_conv", "tower_1_conv_1",
         "tower_1_mixed_conv", "tower_1_mixed_conv_1", "tower_2_conv")  # fmt: skip


def layers() -> tuple[str, ...]:
    """The names of the 94 convolutions, each with ``weight``, ``beta``, ``mean`` and ``var``."""
    towers = {"tower": 2, "tower_1": 3, "tower_2": 1}
    wide = {"tower": 3, "tower_1": 5, "tower_2": 1}
    blocks = {name: (True, towers) for name in _MIXED[:3]}
    blocks |= {"mixed_3": (True, {"tower": 3}), **{name: (True, wide) for name in _MIXED[4:8]}}
    blocks["mixed_8"] = (False, {"tower": 2, "tower_1": 4})
    names = list(_STEM)
    for block, (direct, sizes) in blocks.items():
        names += [f"{block}.conv"] * direct
        for tower, size in sizes.items():
            names += [f"{block}.{tower}.{_STEM[i]}" for i in range(size)]
    names += [f"{block}.{conv}" for block in _MIXED[9:] for conv in _LAST]
    return tuple(names)


def weights_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """The network's tensors, whatever modules they lie in; None if these are not exactly Inception's.

    Args:
        tensors: name to tensor, such as a state dict; all names may share a prefix, such as ``net.layers.``.

    Returns:
        ``<layer>.weight`` and so on to float32 tensors.
    """
    wanted = {f"{layer}.{part}" for layer in layers() for part in _PARTS}
    ends = [name for name in tensors if name.endswith("mixed_10.tower_2_conv.weight")]
    if len(ends) != 1:
        return None
    prefix = ends[0].removesuffix("mixed_10.tower_2_conv.weight")
    found = {name.removeprefix(prefix): tensor.detach().float() for name, tensor in tensors.items()}
    return found if set(found) == wanted and all(name.startswith(prefix) for name in tensors) else None


class Inception:
    """The network as a function of its weights.

    Args:
        weights: as :func:`weights_of` returns them.

    Source:
        C. Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, with the pooling of
        the released graph of 2015 (the border does not count in averages; the last block pools by maximum).
    """

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.weights = weights

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of a batch.

        Args:
            x: float32 [N, 3, 299, 299] in (−1, 1).

        Returns:
            pool_3 [N, 2048], and the first 7 channels of mixed_6/conv [N, 7, 17, 17].

        Raises:
            FpsimError: images of another size.
        """
        if tuple(x.shape[1:]) != (3, 299, 299):
            raise FpsimError(
                f"Inception was given images of {tuple(x.shape[1:])}; it takes 3 x 299 x 299: choose a resize rule"
            )
        x = F.max_pool2d(self._chain(x, _STEM[:3]), 3, 2)
        x = F.max_pool2d(self._chain(x, _STEM[3:]), 3, 2)
        spatial = x
        for block in _MIXED[:9]:
            if block == "mixed_6":
                spatial = self._conv(x, "mixed_6.conv")[:, :SPATIAL_CHANNELS]
            x = self._mixed(x, block)
        x = self._last(x, "mixed_9", F.avg_pool2d(x, 3, 1, 1, count_include_pad=False))
        x = self._last(x, "mixed_10", F.max_pool2d(x, 3, 1, 1))
        return F.avg_pool2d(x, 8).flatten(1), spatial

    def _mixed(self, x: torch.Tensor, block: str) -> torch.Tensor:
        """One of the first nine blocks: a direct convolution, towers, and a pooled branch."""
        branches = [self._conv(x, f"{block}.conv")] if f"{block}.conv.weight" in self.weights else []
        branches += [self._tower(x, f"{block}.{tower}") for tower in ("tower", "tower_1")]
        if f"{block}.tower_2.conv.weight" in self.weights:
            branches.append(self._conv(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), f"{block}.tower_2.conv"))
        else:
            branches.append(F.max_pool2d(x, 3, 2))
        return torch.cat([branch for branch in branches if branch.numel()], 1)

    def _last(self, x: torch.Tensor, block: str, pooled: torch.Tensor) -> torch.Tensor:
        short = self._conv(x, f"{block}.tower_conv")
        long = self._chain(x, ("tower_1_conv", "tower_1_conv_1"), f"{block}.")
        forks = [(short, "tower_mixed_conv"), (short, "tower_mixed_conv_1"), (long, "tower_1_mixed_conv"),
                 (long, "tower_1_mixed_conv_1"), (pooled, "tower_2_conv")]  # fmt: skip
        branches = [self._conv(x, f"{block}.conv"), *(self._conv(y, f"{block}.{name}") for y, name in forks)]
        return torch.cat(branches, 1)

    def _tower(self, x: torch.Tensor, prefix: str) -> torch.Tensor:
        names = [name for name in _STEM if f"{prefix}.{name}.weight" in self.weights]
        return self._chain(x, names, f"{prefix}.") if names else x[:, :0]

    def _chain(self, x: torch.Tensor, names: tuple[str, ...] | list[str], prefix: str = "") -> torch.Tensor:
        for name in names:
            x = self._conv(x, prefix + name)
        return x

    def _conv(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, beta, mean, var = (self.weights[f"{name}.{part}"] for part in _PARTS)
        padding = (0, 0) if name in _UNPADDED else (weight.shape[2] // 2, weight.shape[3] // 2)
        x = F.conv2d(x, weight, stride=2 if name in _SHRINKING else 1, padding=padding)
        return F.relu(F.batch_norm(x, mean, var, None, beta, training=False, eps=1e-3))
