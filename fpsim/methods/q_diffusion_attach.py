"""From what Q-Diffusion learned to a quantized model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods.q_diffusion_places import Place, ScalesOf, words
from fpsim.methods.q_diffusion_plan import Plan, weight_parts, weight_quantizers
from fpsim.model.attach import Handle
from fpsim.model.attention import AttentionOperands, sites
from fpsim.model.binned import BinnedActivation
from fpsim.model.coverage import Coverage, cover
from fpsim.model.layers import axes, quantizable
from fpsim.model.learned import NOTE as LEARNED
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.placed import place
from fpsim.model.split import SplitActivation, SplitWeight, note
from fpsim.model.split_build import extra_bits
from fpsim.model.timestep import Clock, clock_of
from fpsim.number.label import label
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.grid import on_grid
from fpsim.quant.scales import Scales


def attach_learned(
    model: nn.Module,
    plan: Plan,
    weights: Mapping[str, Tensor],
    rules: Mapping[str, str | None],
    scales: ScalesOf,
    backend: str | None,
) -> Handle:
    """Let a model compute with learned weights and step sizes, in place.

    Args:
        model: in full precision.
        plan: of the model.
        weights: rounded, by layer.
        rules: the scale rule with which each of these layers was learned; None is the policy's.
        scales: of all places.
        backend: who rounds.

    Raises:
        FpsimError: a weight that is no value of its layer's grid: it was learned for another model.
    """
    layers: dict[str, Any] = dict(quantizable(model))
    operands = {name: _weight(plan, name, layers[name], weights[name], rules[name]) for name in weights}
    clock = clock_of(model) if plan.binned else None

    def activation(site: str, name: str) -> ActivationOperand:
        return _activation(plan.places[site], site, name, scales[site], backend, clock)

    acts = {name: _input(plan, name, layers[name], activation) for name, rule in plan.rules.items() if rule.acts}
    attention = {
        name: AttentionOperands(**{role: activation(site, site) for role, site in sites(name).items()})
        for name in plan.attentions
    }
    coverage = _noted(cover(model, plan.rules, {}), plan)
    both = {name: (plan.rules[name],) for name in plan.splits}
    coverage = note(coverage, plan.splits, extra_bits(plan.splits, layers, both))
    said = {name: _said(plan, name) for name in plan.attentions}
    return place(model, coverage, acts, operands, attention, said, clock)


def _noted(coverage: Coverage, plan: Plan) -> Coverage:
    """The coverage in Q-Diffusion's words: its scale rules are not those of the policy's that are called alike."""
    layers = []
    for layer in coverage.quantized:
        weights, acts = plan.rules[layer.name].weights, plan.rules[layer.name].acts
        said: dict[str, Any] = {}
        if weights is not None:
            how = f"asymmetric, {weights.scale} scale, {LEARNED}"
            said["weights"] = f"{label(weights.format)}, per {weights.granularity}, {how}"
        if acts is not None:
            said["acts"] = words(acts, lambda spec: f"{label(spec.format)}, per tensor, static, learned step")
        layers.append(replace(layer, **said))
    return Coverage(tuple(layers), coverage.left)


def _said(plan: Plan, name: str) -> str:
    query, softmax = (plan.places[sites(name)[role]] for role in ("query", "softmax"))
    how = f"output of the softmax: {softmax.formats[0].name}, per tensor, static"
    return words(query.spec, lambda spec: f"queries, keys, values: {spec.format.name}, {how}")


def _weight(plan: Plan, name: str, module: Any, rounded: Tensor, rule: str | None) -> WeightOperand:
    quantizers, parts = weight_quantizers(plan, name, module, rule), weight_parts(plan, name, module)
    weight: Tensor = module.weight.detach()
    rounded = rounded.to(weight.device)
    at = plan.splits.get(name)
    halves = (rounded,) if at is None else (rounded[:, :at], rounded[:, at:])
    for half, part, quantizer in zip(halves, parts, quantizers, strict=True):
        if half.shape != part.shape or not on_grid(half.contiguous(), part, quantizer):
            raise FpsimError(
                f"the learned weight of {name!r} is none of {quantizer.format.name} with the layer's scales; "
                "it was learned for another model: delete the run's folder"
            )
    operands = [WeightOperand(quantizer, refit=False) for quantizer in quantizers]
    operand = operands[0] if at is None else SplitWeight(operands[0], operands[1], at)
    operand.learn(weight, rounded)
    return operand


def _input(
    plan: Plan, name: str, module: nn.Module, activation: Callable[[str, str], ActivationOperand]
) -> ActivationOperand:
    parts = [activation(site, f"the input of {site or 'the model'}") for site in plan.layer_places(name)]
    return parts[0] if len(parts) == 1 else SplitActivation(parts[0], parts[1], plan.splits[name], axes(module).acts)


def _activation(
    place: Place, site: str, name: str, scales: Sequence[Scales], backend: str | None, clock: Clock | None
) -> ActivationOperand:
    what = f"the input at {site or 'the model'}"
    operands = [
        ActivationOperand(Quantizer(fmt, scales=each, backend=backend, name=what))
        for fmt, each in zip(place.formats, scales, strict=True)
    ]
    if not isinstance(place.spec, BinnedSpec) or clock is None:
        return operands[0]
    return BinnedActivation(place.spec, operands, clock, name)
