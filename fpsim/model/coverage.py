"""What was quantized, and what was left alone and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from fpsim.model.layers import attends, axes, why_left
from fpsim.number import BlockFormat, IntFormat
from fpsim.quant.granularity import PerBlock, PerChannel, parse
from fpsim.quant.policy import Rule, TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer and what was applied to it; None means left in full precision.

    Args:
        name, kind: of the module; the model itself has the name ``""``.
        parameters: its parameters that stay in float32, such as the bias.
        weights, acts: descriptions.
        weight_bits: bits of the quantized weight with its scales.
    """

    name: str
    kind: str
    parameters: int
    weights: str | None
    acts: str | None
    weight_bits: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A module left alone, and its parameters, which stay in float32."""

    name: str
    kind: str
    parameters: int
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Every module with parameters or arithmetic of its own: quantized, or left alone with the reason."""

    quantized: tuple[Layer, ...] = field(default=())
    left: tuple[Left, ...] = field(default=())

    @property
    def bytes(self) -> float:
        """Size of all parameters, shared ones once: quantized weights in their format, the rest in float32."""
        weights = sum(layer.weight_bits for layer in self.quantized)
        others = sum(item.parameters for item in self.left) + sum(layer.parameters for layer in self.quantized)
        return weights / 8 + 4 * others

    def __str__(self) -> str:
        lines = [f"{len(self.quantized)} layers quantized, {len(self.left)} modules left alone"]
        lines += [
            f"  {x.name or '(model)'}  {x.kind}  weights: {x.weights or '-'}  acts: {x.acts or '-'}"
            for x in self.quantized
        ]
        lines += [f"  {x.name or '(model)'}  {x.kind}  left alone: {x.reason}" for x in self.left]
        return "\n".join(lines)


def cover(model: nn.Module, rules: Mapping[str, Rule], acts: Mapping[str, str]) -> Coverage:
    """Return what a policy's rules cover.

    Args:
        model: the model.
        rules: the rule of each layer that can be quantized.
        acts: descriptions of the quantized inputs, by layer.
    """
    quantized, left, stored = [], [], _Stored()
    makers = _makers(model, rules)
    for name, module in model.named_modules():
        rule, kind = rules.get(name), type(module).__name__
        if id(module) in makers:
            reason = f"makes the quantized weight of {makers[id(module)] or '(model)'!r}"
            left.append(Left(name=name, kind=kind, parameters=0, reason=reason))
        elif rule is not None and (rule.weights or rule.acts):
            quantized.append(_layer(name, module, rule, acts.get(name), stored))
        elif rule is not None or module._parameters or not any(True for _ in module.children()) or attends(module):
            reason = f"rule {rule.match!r}" if rule is not None else why_left(module)
            left.append(Left(name=name, kind=kind, parameters=stored.full(module._parameters.values()), reason=reason))
    return Coverage(tuple(quantized), tuple(left))


#: The weight, or what torch's older weight and spectral norm make it from.
_MAKE_A_WEIGHT = ("weight", "weight_v", "weight_g", "weight_orig")


class _Stored:
    """Counts a parameter that several modules share once for each format that it is stored in."""

    def __init__(self) -> None:
        self.seen: set[tuple[int, TensorSpec | None]] = set()

    def first(self, tensor: Tensor, spec: TensorSpec | None) -> bool:
        key = (id(tensor), spec)
        known = key in self.seen
        self.seen.add(key)
        return not known

    def full(self, tensors: Iterable[Tensor | None]) -> int:
        return sum(tensor.numel() for tensor in tensors if tensor is not None and self.first(tensor, None))


def _makers(model: nn.Module, rules: Mapping[str, Rule]) -> dict[int, str]:
    """Modules whose parameters only make a quantized layer's weight (``torch.nn.utils.parametrize``), to the layer."""
    modules: dict[str, Any] = dict(model.named_modules())
    made = [name for name, rule in rules.items() if rule.weights and is_parametrized(modules[name], "weight")]
    return {id(part): name for name in made for part in modules[name].parametrizations.weight.modules()}


def _layer(name: str, module: Any, rule: Rule, acts: str | None, stored: _Stored) -> Layer:
    bits, own = 0.0, dict(module._parameters)
    weight = getattr(module, "weight", None)
    if rule.weights is not None and isinstance(weight, torch.Tensor):
        parts = [own.pop(key) for key in _MAKE_A_WEIGHT if key in own]
        if not parts or stored.first(parts[0], rule.weights):
            bits = weight_bits(weight, rule.weights, axes(module).into, axes(module).out)
    return Layer(
        name=name,
        kind=type(module).__name__,
        parameters=stored.full(own.values()),
        weights=str(rule.weights) if rule.weights else None,
        acts=acts,
        weight_bits=bits,
    )


def weight_bits(weight: Tensor, spec: TensorSpec, into: int, out: int) -> float:
    """Bits of a weight in its format, with its scales (float32 unless the format has its own) and zero points."""
    count, fmt = weight.numel(), spec.stored
    runs = count // max(1, weight.shape[into])
    if isinstance(fmt, BlockFormat):
        blocks = runs * -(-weight.shape[into] // fmt.block)
        return float(count * fmt.element.bits + blocks * fmt.scale.bits + 32 * fmt.tensor_scale)
    granularity, scales = parse(spec.granularity), 1
    if isinstance(granularity, PerChannel):
        scales = weight.shape[out]
    elif isinstance(granularity, PerBlock):
        scales = runs * -(-weight.shape[into] // granularity.size)
    each = 32 + (fmt.bits if isinstance(fmt, IntFormat) and not fmt.signed else 0)
    alone = spec.scale == "none" and spec.biases is None
    return float(count * fmt.bits + (0 if alone else scales * each))
