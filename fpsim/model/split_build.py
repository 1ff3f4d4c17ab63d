"""From a policy's words to the operands of a layer that may be split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from fpsim.errors import FpsimError
from fpsim.model.binned import input_operand
from fpsim.model.build import check_finite, weight_operand, weight_quantizer
from fpsim.model.coverage import weight_bits
from fpsim.model.given_scales import operand as given_or_fitted
from fpsim.model.layers import TRANSPOSED, axes, has_plain_weight
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.samples import LayerSample
from fpsim.model.split import SplitActivation, SplitWeight
from fpsim.model.split_names import halves
from fpsim.model.timestep import Clock
from fpsim.number import BlockFormat
from fpsim.quant.binned import BinnedSpec, plain
from fpsim.quant.granularity import PerBlock, parse
from fpsim.quant.policy import Policy, Rule, TensorSpec

#: What a tensor is quantized to: one specification, or one for each half of the layer's input channels.
Specs = tuple[TensorSpec, ...]
ActSpec = TensorSpec | BinnedSpec
ActSpecs = tuple[ActSpec, ...]


def split_rules(
    policy: Policy, layers: Mapping[str, Any], split: Mapping[str, int]
) -> tuple[dict[str, Rule], dict[str, tuple[Rule, Rule]]]:
    """Return the rule of each layer, and the rules of both halves of each split layer that is quantized.

    The rule of a split layer is that of its first half.

    Raises:
        FpsimError: a rule that matches nothing; a layer that does not exist or cannot be split there; a tensor of which
            only one half is quantized, or has scales of blocks.
    """
    for name, at in split.items():
        _check_split(name, at, layers.get(name))
    names = {name: halves(name, at) for name, at in split.items()}
    rules = dict(policy.resolve(layers, [half for pair in names.values() for half in pair]))
    parts: dict[str, tuple[Rule, Rule]] = {}
    for name, (first, second) in names.items():
        pair = policy.half(name, first), policy.half(name, second)
        for mine, theirs in ((pair[0].weights, pair[1].weights), (pair[0].acts, pair[1].acts)):
            _check_halves(name, mine, theirs)
        rules[name] = pair[0]
        if pair[0].weights or pair[0].acts:
            parts[name] = pair
    return rules, parts


def _check_split(name: str, at: int, module: Any) -> None:
    if module is None:
        raise FpsimError(f"there is no layer {name!r} to split; use fpsim.model.split.find_splits")
    channels = module.in_features if isinstance(module, nn.Linear) else module.in_channels
    whole = isinstance(module, TRANSPOSED) or getattr(module, "groups", 1) != 1 or not has_plain_weight(module)
    if whole or not 0 < at < channels:
        raise FpsimError(
            f"layer {name!r} with {channels} input channels cannot be split at {at}; split ungrouped "
            "convolutions and linear layers between their channels"
        )


def _check_halves(name: str, first: ActSpec | None, second: ActSpec | None) -> None:
    if first == second:
        return
    if first is None or second is None:
        raise FpsimError(f"one half of {name!r} is quantized and the other is not; quantize both or neither")
    if in_blocks(first) or in_blocks(second):
        raise FpsimError(f"the halves of {name!r} cannot differ, as blocks are not split; give both the same format")


def specs_of(rules: Sequence[Rule], *, acts: bool) -> Specs:
    """Return what the weight, or the input, of a layer is quantized to: by its rule, or by those of its halves.

    Raises:
        FpsimError: inputs that follow the timestep.
    """
    found = [plain(rule.acts, "this method") if acts else rule.weights for rule in rules]
    return tuple(spec for spec in found if spec is not None)


def act_specs(rules: Sequence[Rule]) -> ActSpecs:
    """Return what the input of a layer is quantized to: by its rule, or by those of its halves."""
    return tuple(rule.acts for rule in rules if rule.acts is not None)


def weight(name: str, module: Any, specs: Specs, backend: str | None, splits: Mapping[str, int]) -> WeightOperand:
    """Return what quantizes a layer's weight: as a whole, or in two halves unless it has scales of blocks.

    Args:
        name: of the layer.
        module: the layer.
        specs: one; of a split layer two or one for both halves.
        backend: who rounds.
        splits: split indices by layer.

    Raises:
        FpsimError: as :func:`fpsim.model.build.weight_operand`.
    """
    if name not in splits or in_blocks(specs[0]):
        return weight_operand(name, module, specs[0], backend)
    check_finite(name, module)
    labels = halves(f"{name}.weight", splits[name])
    first, second = (
        given_or_fitted(weight_quantizer(module, spec, backend, label), refit=False)
        for spec, label in zip((specs[0], specs[-1]), labels, strict=True)
    )
    operand = SplitWeight(first, second, splits[name])
    operand(module.weight.detach())  # round now: errors come here
    return operand


def activations(
    name: str,
    module: nn.Module,
    specs: ActSpecs,
    samples: Mapping[str, LayerSample] | None,
    backend: str | None,
    splits: Mapping[str, int],
    clock: Clock | None = None,
) -> ActivationOperand:
    """Return what quantizes a layer's input: as a whole, or in two halves unless it has scales of blocks.

    Args:
        name: of the layer.
        module: the layer.
        specs: one; of a split layer two or one for both halves.
        samples: for static scales; None makes them dynamic.
        backend: who rounds.
        splits: split indices by layer.
        clock: of the model, for inputs that follow the timestep.

    Raises:
        FpsimError: as :func:`fpsim.model.build.activation_operand`.
    """
    if name not in splits or in_blocks(specs[0]):
        return input_operand(name, module, specs[0], samples, backend, clock)
    first, second = (
        input_operand(half, module, spec, samples, backend, clock)
        for half, spec in zip(halves(name, splits[name]), (specs[0], specs[-1]), strict=True)
    )
    return SplitActivation(first, second, splits[name], axes(module).acts)


def extra_bits(
    splits: Mapping[str, int], layers: Mapping[str, Any], rules: Mapping[str, Sequence[Rule]]
) -> dict[str, int]:
    """Return the bits that the two halves of each split weight take beyond those of the whole by the first one's rule.

    Args:
        splits: split indices by layer.
        layers: by name.
        rules: of both halves, by layer.
    """
    found = {}
    for name, at in splits.items():
        specs, module = specs_of(rules[name], acts=False), layers[name]
        if not specs or in_blocks(specs[0]):
            continue
        where, whole = axes(module), module.weight
        parts = zip((specs[0], specs[-1]), (whole[:, :at], whole[:, at:]), strict=True)
        bits = sum(weight_bits(part, spec, where.into, where.out) for spec, part in parts)
        found[name] = round(bits - weight_bits(whole, specs[0], where.into, where.out))
    return found


def in_blocks(spec: ActSpec) -> bool:
    """Whether a tensor has scales of blocks, which need no split; in a bin of the timestep is enough."""
    if isinstance(spec, BinnedSpec):
        return any(in_blocks(each) for each in spec.specs)
    return isinstance(spec.format, BlockFormat) or isinstance(parse(spec.granularity), PerBlock)
