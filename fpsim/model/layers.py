"""Which modules of a model multiply weights with activations, and what their axes mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: The types whose weights and inputs are quantized, subclasses included.
QUANTIZABLE = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
#: The calls by which such modules, whatever their class, reach torch: (input, weight, …).
FORWARD_CALLS = {F.linear, F.conv1d, F.conv2d, F.conv3d}
TRANSPOSED_CALLS = {F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d}


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes of a weight, and the channel axis of the input.

    ``out`` is the weight's axis of output channels (per-channel scales), ``into`` that of input channels (blocks).
    """

    out: int
    into: int
    acts: int


def axes(module: nn.Module) -> Axes:
    """Return the axes of a quantizable module."""
    if isinstance(module, TRANSPOSED):
        return Axes(out=1, into=0, acts=1)
    return Axes(out=0, into=1, acts=-1 if isinstance(module, nn.Linear) else 1)


def quantizable(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of each layer that can be quantized, in the order of the model's definition."""
    for name, module in model.named_modules():
        if isinstance(module, QUANTIZABLE):
            yield name, module


def is_stock(module: nn.Module) -> bool:
    """Whether the module computes exactly what torch's own class does with a plain weight.

    Only then is its weight the operand of the product; a subclass may transform it first.
    """
    if "forward" in vars(module) or not isinstance(module._parameters.get("weight"), torch.Tensor):
        return False
    cls = type(module)
    for base in (nn.Linear, *CONVOLUTIONS):
        if isinstance(module, base):
            same_inner = base is nn.Linear or cls._conv_forward is base._conv_forward
            return cls.forward is base.forward and same_inner
    return False
