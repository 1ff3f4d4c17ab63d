"""Split layers: where a U-Net concatenates its features with a skip connection, each half has quantizers of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.changes import Print, fingerprint
from fpsim.model.coverage import Coverage, Layer
from fpsim.model.gradients import inside_range
from fpsim.model.operands import ActivationOperand, WeightOperand, unusable

MODES = ("none", "shortcut", "all")
#: What becomes of a weight and of an input.
Words = tuple[str | None, str | None]


def find_splits(model: nn.Module, which: str) -> dict[str, int]:
    """Return the layers that see a concatenation of features and skip connection, with the features' channel count.

    In a residual block of the up path of a diffusers U-Net, the concatenation [features, skip] has two consumers:
    ``conv_shortcut``, and ``norm1``, which is not quantized. ``conv1`` sees the concatenation after norm and
    activation, which keep the channels apart but are no raw concatenation.

    Args:
        model: a ``UNet2DModel`` or ``UNet2DConditionModel``, or another module with their ``conv_in``,
            ``down_blocks`` and ``up_blocks``; not looked at for ``none``.
        which: ``shortcut``: each ``conv_shortcut``, the only quantized consumer of the raw concatenation (what
            Q-Diffusion splits). ``all``: each ``conv_shortcut`` and each ``conv1``, so that no quantized layer mixes
            both distributions in one scale (Chen et al. 2024, VI-A, "before concatenation"). ``none``: nothing.

    Returns:
        Layer names to split indices along the input channels.

    Raises:
        FpsimError: another word, or a model without such blocks.
    """
    if which not in MODES:
        raise FpsimError(f"split {which!r} is not one of {', '.join(MODES)}")
    if which == "none":
        return {}
    skips, found = _skips(model), dict[str, int]()
    for i, block in enumerate(model.up_blocks):  # type: ignore[arg-type]
        for j, resnet in enumerate(getattr(block, "resnets", ())):
            at = int(resnet.in_channels) - (skips.pop() if skips else 0)
            if not 0 < at < resnet.in_channels:
                raise _unknown(model)
            for part in ("conv_shortcut", "conv1") if which == "all" else ("conv_shortcut",):
                if getattr(resnet, part, None) is not None:
                    found[f"up_blocks.{i}.resnets.{j}.{part}"] = at
    if skips or not found:
        raise _unknown(model)
    return found


def _skips(model: Any) -> list[int]:
    """Channel counts of the skip connections, in the order in which the down path leaves them."""
    if not all(hasattr(model, part) for part in ("conv_in", "down_blocks", "up_blocks")):
        raise _unknown(model)
    counts = [int(model.conv_in.out_channels)]
    for block in model.down_blocks:
        if not hasattr(block, "resnets"):
            raise _unknown(model)
        counts += [int(resnet.out_channels) for resnet in block.resnets]
        if getattr(block, "downsamplers", None):
            counts.append(int(block.downsamplers[0].out_channels))
    return counts


def _unknown(model: nn.Module) -> FpsimError:
    return FpsimError(
        f"{type(model).__name__} has no up path of residual blocks that concatenate skip connections as UNet2DModel "
        "and UNet2DConditionModel do; use split none"
    )


class SplitActivation(ActivationOperand):
    """Quantizes the first channels of a layer's input with one quantizer and the others with another.

    Args:
        first, second: of the halves.
        at: how many channels the first one has.
        axis: of the channels, counted from the end.
    """

    def __init__(self, first: ActivationOperand, second: ActivationOperand, at: int, axis: int) -> None:
        super().__init__(first.quantizer, single=first.single)
        self.first, self.second, self.at, self.axis = first, second, at, axis

    def _quantized(self, x: Tensor) -> Tensor:
        low, high = x.narrow(self.axis, 0, self.at), x.narrow(self.axis, self.at, x.shape[self.axis] - self.at)
        if torch.is_grad_enabled() and x.requires_grad:
            return torch.cat([self.first(low), self.second(high)], dim=self.axis)
        result = torch.empty_like(x)
        # One after the other: what the first returns may lie in memory that the second writes to.
        result.narrow(self.axis, 0, self.at).copy_(self.first(low))
        result.narrow(self.axis, self.at, high.shape[self.axis]).copy_(self.second(high))
        return result


class SplitWeight(WeightOperand):
    """Quantizes the first input channels of a weight with one quantizer and the others with another.

    Args:
        first, second: of the halves.
        at: how many input channels (axis 1) the first one has.
    """

    def __init__(self, first: WeightOperand, second: WeightOperand, at: int) -> None:
        super().__init__(first.quantizer, refit=False)
        self.first, self.second, self.at = first, second, at
        self._print: Print | None = None

    def _inside(self, weight: Tensor) -> Tensor:
        operands = (self.first, self.second)
        inside = [inside_range(w, each.quantizer) for w, each in zip(self.parts(weight), operands, strict=True)]
        return torch.cat(inside, dim=1)

    def learn(self, weight: Tensor, rounded: Tensor) -> None:
        """Compute with a given rounding of ``weight`` wherever the parameter holds its values; others go to nearest."""
        for operand, part, learned in zip(
            (self.first, self.second), self.parts(weight), self.parts(rounded), strict=True
        ):
            operand.learn(part, learned)
        self._print = None
        self._current(weight)

    def forget(self, *_: Any) -> None:
        """Fit fresh scales at the next call: another weight was loaded."""
        self.first.forget()
        self.second.forget()
        self._print = None

    def parts(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return both halves of a weight."""
        detached = weight.detach()
        return detached[:, : self.at].contiguous(), detached[:, self.at :].contiguous()

    def _current(self, weight: Tensor) -> Tensor:
        seen = fingerprint(weight)
        if self.rounded is None or seen != self._print or unusable(self.rounded):
            first, second = self.parts(weight)
            self.rounded = torch.cat([self.first(first), self.second(second)], dim=1)
            self.source, self._print = weight, seen
        assert self.rounded is not None, "just computed"
        return self.rounded


def note(
    coverage: Coverage,
    splits: Mapping[str, int],
    parameters: Mapping[str, int],
    seconds: Mapping[str, Words] | None = None,
) -> Coverage:
    """Return the coverage with a note at each split layer, and the bits of its weight's second scales added.

    Args:
        coverage: of the model.
        splits: split indices by layer.
        parameters: bits that the second quantizer of each split weight adds.
        seconds: what weights and inputs of the second halves become, in words; without it the same as the first ones.
    """
    layers = (
        _noted(layer, splits[layer.name], parameters.get(layer.name, 0), (seconds or {}).get(layer.name))
        if layer.name in splits
        else layer
        for layer in coverage.quantized
    )
    return Coverage(tuple(layers), coverage.left)


def _noted(layer: Layer, at: int, bits: int, second: Words | None) -> Layer:
    weights, acts = (
        words and f"{words}{f' and {other}' if other not in (None, words) else ''}, split at {at}"
        for words, other in zip((layer.weights, layer.acts), second or (None, None), strict=True)
    )
    return replace(layer, weights=weights, acts=acts, weight_bits=layer.weight_bits + bits)
