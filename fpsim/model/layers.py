"""Which modules of a model multiply weights with activations, and what their axes mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
#: The types whose weights and inputs are quantized, subclasses included.
QUANTIZABLE = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
#: The calls by which such modules, whatever their class, reach torch: (input, weight, …).
PRODUCTS = {
    F.linear,
    F.conv1d,
    F.conv2d,
    F.conv3d,
    F.conv_transpose1d,
    F.conv_transpose2d,
    F.conv_transpose3d,
}


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes of a weight, and the channel axis of the input.

    Args:
        out: the weight's axis of output channels (per-channel scales; the groups of a grouped transposed convolution
            share them).
        into: the weight's axis of input channels (blocks).
        acts: the input's axis of channels, counted from the end.
        single: how many axes the input of one sample has, without a batch.
    """

    out: int
    into: int
    acts: int
    single: int


def axes(module: nn.Module) -> Axes:
    """Return the axes of a quantizable module."""
    if isinstance(module, nn.Linear):
        return Axes(out=0, into=1, acts=-1, single=1)
    spatial = 1 + next(i for i in range(3) if isinstance(module, (CONVOLUTIONS[i], TRANSPOSED[i])))
    out, into = (1, 0) if isinstance(module, TRANSPOSED) else (0, 1)
    return Axes(out=out, into=into, acts=-1 - spatial, single=1 + spatial)


def quantizable(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of each layer that can be quantized, in the order of the model's definition."""
    for name, module in model.named_modules():
        if isinstance(module, QUANTIZABLE) and not isinstance(module, NonDynamicallyQuantizableLinear):
            yield name, module


def attends(module: nn.Module) -> bool:
    """Whether a module multiplies activations with activations: torch's attention, or diffusers' by its processor."""
    return isinstance(module, nn.MultiheadAttention) or hasattr(module, "processor")


def why_left(module: nn.Module) -> str:
    """Return why a module that :func:`quantizable` does not yield stays in full precision."""
    if isinstance(module, NonDynamicallyQuantizableLinear | nn.MultiheadAttention):
        return "torch's MultiheadAttention multiplies without calling its layers: full precision"
    if attends(module):
        return "its products of queries, keys and values stay in full precision"
    return "not a convolution or linear layer: full precision"


def without_fused_layers(model: nn.Module) -> list[Callable[[], None]]:
    """Make torch's transformer layers call their parts instead of one fused kernel; return what undoes it."""
    layers = [module for module in model.modules() if isinstance(module, nn.TransformerEncoderLayer)]
    return [layer.register_forward_pre_hook(_nothing).remove for layer in layers]


def _nothing(_module: nn.Module, _args: Any) -> None:
    """A hook: torch's fused kernel is not used where there is one."""


def has_plain_weight(module: nn.Module) -> bool:
    """Whether the module computes exactly what torch's own class does with a plain weight.

    Only then is its weight the operand of the product; a subclass may transform it first.
    """
    if "forward" in vars(module) or not isinstance(module._parameters.get("weight"), torch.Tensor):
        return False
    cls: Any = type(module)
    base: Any = next(base for base in QUANTIZABLE if isinstance(module, base))
    same_inner = base not in CONVOLUTIONS or cls._conv_forward is base._conv_forward
    return bool(cls.forward is base.forward and same_inner)


def is_stock(module: nn.Module) -> bool:
    """Whether ``F.linear`` or ``module._conv_forward`` with weight and bias is all that the module does."""
    return has_plain_weight(module) and not isinstance(module, TRANSPOSED)
