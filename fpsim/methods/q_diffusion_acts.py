"""Q-Diffusion's second phase: ranges of the activations, then learned step sizes, unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fpsim.methods.q_diffusion_plan import Plan, first_scales
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.methods.q_diffusion_store import UnitStore
from fpsim.methods.q_diffusion_units import full_names
from fpsim.methods.rounding_run import Progress
from fpsim.model.attention import AttentionInterception, AttentionOperands, attentions, sites
from fpsim.model.intercept import Interception
from fpsim.model.layers import axes
from fpsim.model.ranges import observe
from fpsim.model.unit_data import capture
from fpsim.quant.reconstruction.steps import LearnedStep, learn_steps
from fpsim.quant.scales import Scales

Call = Mapping[str, Any]


def start_scales(
    model: nn.Module, plan: Plan, calls: Sequence[Call], weights: Mapping[str, Tensor], settings: Settings
) -> dict[str, Scales]:
    """Return the scales of all places before learning, from a run with rounded weights and exact activations.

    Args:
        model: in full precision.
        plan: of the model.
        calls: arguments of the model.
        weights: rounded, by layer.
        settings: of the method.

    Raises:
        FpsimError: a place that the calibration does not reach.
    """
    parameters = {f"{name}.weight".lstrip("."): weight for name, weight in weights.items()}

    def run() -> None:
        for call in calls:
            functional_call(model, parameters, (), dict(call))

    layers = [name for name, rule in plan.rules.items() if rule.acts is not None]
    seen = observe(model, layers, plan.splits, plan.attentions, run)
    return {
        name: first_scales(place, seen[name], settings.act_init, f"the input at {name or 'the model'}")
        for name, place in plan.places.items()
    }


def learn_acts(
    model: nn.Module,
    plan: Plan,
    order: Mapping[str, float],
    calls: Sequence[Call],
    weights: Mapping[str, Tensor],
    start: Mapping[str, Scales],
    settings: Settings,
    store: UnitStore,
    progress: Progress,
) -> dict[str, Scales]:
    """Learn each unit's step sizes on full-precision inputs and return the scales of all places.

    Args:
        model, plan, order, calls, settings, store, progress: as for the first phase.
        weights: rounded, by layer.
        start: the scales that learning begins with.
    """
    scales = dict(start)
    for unit, cost in order.items():
        names, told = unit_places(model, plan, unit), progress.part(cost)
        if not names:
            continue
        if not store.has_scales(unit):
            _learn(model, plan, unit, names, calls, weights, start, settings, store, told)
        scales |= store.read_scales(unit)[0]
    return scales


def unit_places(model: nn.Module, plan: Plan, unit: str) -> list[str]:
    """Return the places inside a unit: inputs of its layers, and operands of its attentions."""
    names = full_names(unit, plan.units[unit]).values()
    found = [place for name in names if plan.rules[name].acts is not None for place in plan.layer_places(name)]
    return found + [place for name in _attended(model, plan, unit) for place in sites(name).values()]


def _attended(model: nn.Module, plan: Plan, unit: str) -> list[str]:
    inside = (f"{unit}.{name}".strip(".") for name, _ in attentions(model.get_submodule(unit)))
    return [name for name in inside if name in plan.attentions]


def _learn(
    model: nn.Module,
    plan: Plan,
    unit: str,
    names: Sequence[str],
    calls: Sequence[Call],
    weights: Mapping[str, Tensor],
    start: Mapping[str, Scales],
    settings: Settings,
    store: UnitStore,
    told: Any,
) -> None:
    data = capture(model, unit, calls)
    steps = {name: LearnedStep(plan.places[name].format, start[name]) for name in names}
    learned = [step for name, step in steps.items() if plan.places[name].learned]
    layers = full_names(unit, plan.units[unit])
    inside = {f"{part}.weight".lstrip("."): weights[name] for part, name in layers.items() if name in weights}
    undo = _attach(model, plan, unit, steps)
    try:
        before, after = learn_steps(model.get_submodule(unit), inside, learned, data, settings.steps, told)
    finally:
        for restore in reversed(undo):
            restore()
    figures = {"act_loss_start": before, "act_loss_learned": after}
    store.write_scales(unit, {name: step.scales() for name, step in steps.items()}, figures)


def _attach(model: nn.Module, plan: Plan, unit: str, steps: Mapping[str, LearnedStep]) -> list[Callable[[], None]]:
    undo = []
    for name in full_names(unit, plan.units[unit]).values():
        if plan.rules[name].acts is not None:
            module = model.get_submodule(name)
            undo.append(Interception(module, _operand(plan, name, module, steps), None).undo)
    for name in _attended(model, plan, unit):
        operands = AttentionOperands(**{role: steps[place] for role, place in sites(name).items()})
        undo.append(AttentionInterception(model.get_submodule(name), operands, name).undo)
    return undo


def _operand(plan: Plan, name: str, module: nn.Module, steps: Mapping[str, LearnedStep]) -> Callable[[Tensor], Tensor]:
    places = plan.layer_places(name)
    if len(places) == 1:
        return steps[name]
    (first, second), at, axis = (steps[place] for place in places), plan.splits[name], axes(module).acts

    def both(x: Tensor) -> Tensor:
        halves = x.narrow(axis, 0, at), x.narrow(axis, at, x.shape[axis] - at)
        return torch.cat([first(halves[0]), second(halves[1])], dim=axis)

    return both
