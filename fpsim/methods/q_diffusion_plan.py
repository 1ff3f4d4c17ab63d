"""What Q-Diffusion does to each layer and attention of a model, before any data is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.model.attention import attentions, sites
from fpsim.model.blocks import units
from fpsim.model.layers import axes, has_plain_weight, quantizable
from fpsim.model.ranges import Seen
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves
from fpsim.number import Format, IntFormat
from fpsim.quant import granularity as views
from fpsim.quant.asymmetric import RULES, affine_range, fit_affine, fit_symmetric, symmetric_range
from fpsim.quant.binned import plain
from fpsim.quant.granularity import PerChannel, PerTensor
from fpsim.quant.policy import Policy, Rule
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scales import Scales


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A tensor that is quantized at each call, per tensor with a fixed scale.

    Args:
        format: ``intN-full``: symmetric; ``uintN``: asymmetric, or without offset where ``symmetric``.
        symmetric: whether the zero point is 0.
        learned: whether its step size is learned.
    """

    format: IntFormat
    symmetric: bool
    learned: bool = True


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

    def layer_places(self, name: str) -> tuple[str, ...]:
        """The places of a layer's input."""
        return halves(name, self.splits[name]) if name in self.splits else (name,)


def make_plan(model: nn.Module, policy: Policy, settings: Settings) -> Plan:
    """Return the plan for a model.

    Raises:
        FpsimError: a policy whose formats are no integers, a granularity or scale rule that Q-Diffusion does not have,
            or a model that cannot be split.
    """
    layers = dict(quantizable(model))
    rules = {name: _rule(name, rule) for name, rule in policy.resolve(layers).items()}
    splits = {
        name: at
        for name, at in find_splits(model, settings.split).items()
        if rules[name].weights is not None or rules[name].acts is not None
    }
    plan = Plan(rules=rules, splits=splits, attentions=(), places={}, units={})
    places = {
        place: _place(acts.format)
        for name, rule in rules.items()
        if (acts := plain(rule.acts, "Q-Diffusion"))
        for place in plan.layer_places(name)
    }
    attended = []
    for name, module in attentions(model):
        inner = next((rules[f"{name}.{part}".lstrip(".")] for part, _ in quantizable(module)), None)
        acts = plain(inner.acts, "Q-Diffusion") if inner is not None else None
        if acts is not None:
            attended.append(name)
            places |= _attention(name, acts.format, settings)
    return replace(plan, attentions=tuple(attended), places=places, units=dict(units(model)))


def _rule(name: str, rule: Rule) -> Rule:
    """The rule with Q-Diffusion's formats: weights unsigned with zero points, signed activations with all codes."""
    weights, acts = rule.weights, plain(rule.acts, "Q-Diffusion")
    for spec, what in ((weights, "weights"), (acts, "activations")):
        if spec is None:
            continue
        if not isinstance(spec.format, IntFormat) or spec.format.fraction_bits:
            raise FpsimError(
                f"{what} of {name!r}: Q-Diffusion quantizes to integers, not to {spec.format.name}; "
                "choose formats such as int4/int8 or int4/uint8, or another --method"
            )
        fitting = ("tensor",) if what == "activations" else ("tensor", "channel")
        if spec.granularity not in fitting:
            raise FpsimError(f"{what} of {name!r}: Q-Diffusion has scales per {' or '.join(fitting)}, no blocks")
    if weights is not None:
        if weights.scale not in RULES:
            raise FpsimError(f"scale rule {weights.scale!r} is not Q-Diffusion's; choose --scale mse or max")
        weights = replace(weights, format=_integer(weights.format, signed=False))
    if acts is not None and isinstance(acts.format, IntFormat):
        acts = replace(acts, format=_integer(acts.format, signed=acts.format.signed))
    return replace(rule, weights=weights, acts=acts)


def _integer(fmt: Any, *, signed: bool) -> IntFormat:
    name = f"int{fmt.bits}-full" if signed else f"uint{fmt.bits}"
    return IntFormat(name=name, bits=fmt.bits, signed=signed, full=signed)


def _place(fmt: Format) -> Place:
    assert isinstance(fmt, IntFormat), "checked with the rule"
    return Place(format=fmt, symmetric=fmt.signed)


def _attention(name: str, fmt: Format, settings: Settings) -> dict[str, Place]:
    """Queries, keys and values like the layers' inputs; the softmax's output unsigned, at its own width."""
    found = {place: _place(fmt) for place in sites(name).values()}
    bits = IntFormat(name="softmax", bits=settings.softmax_bits)
    softmax = _integer(bits, signed=settings.compat.signed_softmax)
    found[sites(name)["softmax"]] = Place(format=softmax, symmetric=True, learned=settings.softmax_bits < 16)
    return found


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


def first_scales(place: Place, seen: Seen, init: str, name: str) -> Scales:
    """Return the scales of a place before learning; see :class:`fpsim.methods.q_diffusion_settings.Settings`."""
    fmt, real = place.format, np.float32
    if init != "ema":
        fit = fit_symmetric if place.symmetric else fit_affine
        return fit(seen.values.reshape(1, -1), fmt, init, name=name)
    low, high = np.array([seen.low]), np.array([seen.high])
    if not place.symmetric:
        return affine_range(low, high, fmt, dtype=real, name=name)
    return symmetric_range(np.maximum(np.abs(low), np.abs(high)), fmt, dtype=real, name=name)
