"""From a policy's words to the operands of a layer that may be split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from fpsim.errors import FpsimError
from fpsim.model.build import activation_operand, weight_operand
from fpsim.model.layers import TRANSPOSED, axes, has_plain_weight
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.samples import LayerSample
from fpsim.model.split import SplitActivation, SplitWeight
from fpsim.model.split_names import halves
from fpsim.number import BlockFormat, IntFormat
from fpsim.quant.granularity import PerBlock, parse
from fpsim.quant.policy import Rule, TensorSpec
from fpsim.quant.quantizer import Quantizer


def usable(split: Mapping[str, int], layers: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, int]:
    """Return the split layers that a policy quantizes.

    Raises:
        FpsimError: a layer that does not exist or cannot be split there.
    """
    for name, at in split.items():
        module = layers.get(name)
        if module is None:
            raise FpsimError(f"there is no layer {name!r} to split; use fpsim.model.split.find_splits")
        channels = module.in_features if isinstance(module, nn.Linear) else module.in_channels
        whole = isinstance(module, TRANSPOSED) or getattr(module, "groups", 1) != 1 or not has_plain_weight(module)
        if whole or not 0 < at < channels:
            raise FpsimError(
                f"layer {name!r} with {channels} input channels cannot be split at {at}; split ungrouped "
                "convolutions and linear layers between their channels"
            )
    return {name: at for name, at in split.items() if rules[name].weights or rules[name].acts}


def weight(name: str, module: Any, spec: TensorSpec, backend: str | None, splits: Mapping[str, int]) -> WeightOperand:
    """Return what quantizes a layer's weight: as a whole, or in two halves unless it has scales of blocks.

    Raises:
        FpsimError: as :func:`fpsim.model.build.weight_operand`.
    """
    whole = weight_operand(name, module, spec, backend)
    if name not in splits or in_blocks(spec):
        return whole
    template, at = whole.quantizer, splits[name]
    first, second = (
        WeightOperand(
            Quantizer(template.format, template.granularity, spec.scale, backend=backend, name=label), refit=False
        )
        for label in halves(template.name, at)
    )
    operand = SplitWeight(first, second, at)
    operand(module.weight.detach())  # round now: errors come here
    return operand


def activations(
    name: str,
    module: nn.Module,
    spec: TensorSpec,
    samples: Mapping[str, LayerSample] | None,
    backend: str | None,
    splits: Mapping[str, int],
) -> ActivationOperand:
    """Return what quantizes a layer's input: as a whole, or in two halves unless it has scales of blocks.

    Raises:
        FpsimError: as :func:`fpsim.model.build.activation_operand`.
    """
    if name not in splits or in_blocks(spec):
        return activation_operand(name, module, spec, samples, backend)
    first, second = (activation_operand(half, module, spec, samples, backend) for half in halves(name, splits[name]))
    return SplitActivation(first, second, splits[name], axes(module).acts)


def extra_bits(splits: Mapping[str, int], layers: Mapping[str, Any], rules: Mapping[str, Rule]) -> dict[str, int]:
    """Return the bits that the second scales of each split weight take."""
    found = {}
    for name in splits:
        spec = rules[name].weights
        if spec is None or in_blocks(spec) or spec.scale == "none":
            continue
        unsigned = isinstance(spec.format, IntFormat) and not spec.format.signed
        count = 1 if spec.granularity == "tensor" else int(layers[name].weight.shape[axes(layers[name]).out])
        found[name] = count * (32 + (spec.format.bits if unsigned and isinstance(spec.format, IntFormat) else 0))
    return found


def in_blocks(spec: TensorSpec) -> bool:
    """Whether a tensor has scales of blocks, which need no split."""
    return isinstance(spec.format, BlockFormat) or isinstance(parse(spec.granularity), PerBlock)
