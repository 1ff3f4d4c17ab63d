"""What Q-Diffusion does to each layer and attention of a model, before any data is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods.q_diffusion_places import Place, attention_places, check_acts, check_format, integer, mapped
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.model.attention import attentions
from fpsim.model.blocks import units
from fpsim.model.layers import axes, has_plain_weight, quantizable
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves
from fpsim.number import IntFormat
from fpsim.quant import granularity as views
from fpsim.quant.asymmetric import RULES, fit_affine
from fpsim.quant.binned import TRAINED, BinnedSpec
from fpsim.quant.granularity import PerChannel, PerTensor
from fpsim.quant.policy import Policy, Rule
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.tensor_spec import TensorSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """What is done to each layer.

    Args:
        rules: of all layers, formats as they will be.
        splits: split indices of the layers that are quantized in two halves.
        attentions: those whose operands are quantized.
        places: activations, by the names of :mod:`fpsim.model.ranges`.
        units: what is reconstructed together: the layers' names inside each unit.
    """

    rules: Mapping[str, Rule]
    splits: Mapping[str, int]
    attentions: tuple[str, ...]
    places: Mapping[str, Place]
    units: Mapping[str, tuple[str, ...]]

    @property
    def binned(self) -> dict[str, BinnedSpec]:
        """The bins of the places that follow the timestep."""
        specs = {name: place.spec for name, place in self.places.items()}
        return {name: spec for name, spec in specs.items() if isinstance(spec, BinnedSpec)}

    def layer_places(self, name: str) -> tuple[str, ...]:
        """The places of a layer's input."""
        return halves(name, self.splits[name]) if name in self.splits else (name,)


def make_plan(model: nn.Module, policy: Policy, settings: Settings) -> Plan:
    """Return the plan for a model.

    Raises:
        FpsimError: a policy whose formats are no integers, a granularity or scale rule that Q-Diffusion does not have,
            fixed scales of timestep bins, or a model that cannot be split.
    """
    layers = dict(quantizable(model))
    rules = {name: _rule(name, rule) for name, rule in policy.over(TRAINED).resolve(layers).items()}
    splits = {
        name: at
        for name, at in find_splits(model, settings.split).items()
        if rules[name].weights is not None or rules[name].acts is not None
    }
    plan = Plan(rules=rules, splits=splits, attentions=(), places={}, units={})
    places = {
        place: Place(spec=rule.acts)
        for name, rule in rules.items()
        if rule.acts is not None
        for place in plan.layer_places(name)
    }
    attended = []
    for name, module in attentions(model):
        inner = next((rules[f"{name}.{part}".lstrip(".")] for part, _ in quantizable(module)), None)
        if inner is not None and inner.acts is not None:
            attended.append(name)
            places |= attention_places(name, inner.acts, settings)
    return replace(plan, attentions=tuple(attended), places=places, units=dict(units(model)))


def _rule(name: str, rule: Rule) -> Rule:
    """The rule with Q-Diffusion's formats: weights unsigned with zero points, signed activations with all codes."""
    weights, acts = rule.weights, rule.acts
    if weights is not None:
        check_format(name, "weights", weights.format)
        if weights.granularity not in ("tensor", "channel"):
            raise FpsimError(f"weights of {name!r}: Q-Diffusion has scales per tensor or channel, no blocks")
        if weights.scale not in RULES:
            raise FpsimError(f"scale rule {weights.scale!r} is not Q-Diffusion's; choose --scale mse or max")
        weights = _converted(weights, signed=False)
    if acts is not None:
        check_acts(name, acts)
        acts = mapped(acts, _converted)
    return replace(rule, weights=weights, acts=acts)


def _converted(spec: TensorSpec, signed: bool = True) -> TensorSpec:
    """With Q-Diffusion's integer, signed where the given one is and may be."""
    assert isinstance(spec.format, IntFormat), "checked before"
    return replace(spec, format=integer(spec.format, signed=signed and spec.format.signed))


def weight_quantizers(plan: Plan, name: str, module: Any, rule: str | None = None) -> tuple[Quantizer, ...]:
    """Return the quantizers of a layer's weight with Q-Diffusion's scales: one, or two for a split layer.

    Args:
        plan: of the model.
        name: of the layer.
        module: the layer.
        rule: for the scales, in place of the policy's.
    """
    spec = plan.rules[name].weights
    assert spec is not None, "only layers with quantized weights have them"
    assert isinstance(spec.format, IntFormat), "checked with the rule"
    granularity = PerTensor() if spec.granularity == "tensor" else PerChannel(axes(module).out)
    found = []
    for part, label in zip(weight_parts(plan, name, module), plan.layer_places(name), strict=True):
        rows = views.groups(part.float().cpu().numpy(), granularity)
        what = f"the weight of {label or 'the model'}"
        scales = fit_affine(rows, spec.format, rule or spec.scale, name=what)
        found.append(Quantizer(spec.format, granularity, spec.scale, scales=scales, name=what))
    return tuple(found)


def weight_parts(plan: Plan, name: str, module: Any) -> tuple[Tensor, ...]:
    """Return a layer's weight, or its halves along the input channels.

    Raises:
        FpsimError: NaN or Inf in a parameter, or a weight that is computed at run time.
    """
    for key, tensor in module.named_parameters(name):
        if not torch.isfinite(tensor).all():
            raise FpsimError(f"{key} holds NaN or Inf; the model's weights are damaged, or skip the layer")
    if not has_plain_weight(module):
        raise FpsimError(f"{name!r} computes its weight at run time, so Q-Diffusion cannot learn it; skip it")
    weight: Tensor = module.weight.detach()
    at = plan.splits.get(name)
    return (weight,) if at is None else (weight[:, :at].contiguous(), weight[:, at:].contiguous())
