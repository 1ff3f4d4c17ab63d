"""Q-Diffusion's second phase: ranges of the activations, then learned step sizes, unit by unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fpsim.methods.q_diffusion_places import ScalesOf, first_scales
from fpsim.methods.q_diffusion_plan import Plan
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.methods.q_diffusion_steps import UnitSteps
from fpsim.methods.q_diffusion_store import UnitStore
from fpsim.methods.q_diffusion_units import full_names
from fpsim.methods.rounding_run import Progress
from fpsim.model.attention import AttentionInterception, AttentionOperands, attentions, sites
from fpsim.model.intercept import Interception
from fpsim.model.layers import axes
from fpsim.model.ranges import observe
from fpsim.model.timestep import clock_of
from fpsim.model.undo import restored
from fpsim.model.unit_data import capture
from fpsim.quant.reconstruction.steps import learn_steps
from fpsim.quant.scales import Scales

Call = Mapping[str, Any]
Operand = Callable[[Tensor], Tensor]


def start_scales(
    model: nn.Module, plan: Plan, calls: Sequence[Call], weights: Mapping[str, Tensor], settings: Settings
) -> dict[str, tuple[Scales, ...]]:
    """Return the scales of all places before learning, from a run with rounded weights and exact activations.

    Args:
        model: in full precision.
        plan: of the model.
        calls: arguments of the model.
        weights: rounded, by layer.
        settings: of the method.

    Raises:
        FpsimError: a place that the calibration does not reach, in some bin of the timestep.
    """
    parameters = {f"{name}.weight".lstrip("."): weight for name, weight in weights.items()}

    def run() -> None:
        for call in calls:
            functional_call(model, parameters, (), dict(call))

    layers = [name for name, rule in plan.rules.items() if rule.acts is not None]
    seen = observe(model, layers, plan.splits, plan.attentions, run, plan.binned)
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
    start: ScalesOf,
    settings: Settings,
    store: UnitStore,
    progress: Progress,
) -> dict[str, tuple[Scales, ...]]:
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
    start: ScalesOf,
    settings: Settings,
    store: UnitStore,
    told: Any,
) -> None:
    clock = clock_of(model) if any(name in plan.binned for name in names) else None
    data = capture(model, unit, calls, clock=clock)
    steps = UnitSteps({name: plan.places[name] for name in names}, start, clock)
    layers = full_names(unit, plan.units[unit])
    inside = {f"{part}.weight".lstrip("."): weights[name] for part, name in layers.items() if name in weights}
    with restored(_attach(model, plan, unit, steps.operands)):
        before, after = learn_steps(
            model.get_submodule(unit),
            inside,
            steps.learned,
            data,
            settings.steps,
            told,
            own=steps.own(data),
            begin=steps.begin,
        )
    store.write_scales(unit, steps.scales(), {"act_loss_start": before, "act_loss_learned": after})


def _attach(model: nn.Module, plan: Plan, unit: str, operands: Mapping[str, Operand]) -> list[Callable[[], None]]:
    undo = []
    for name in full_names(unit, plan.units[unit]).values():
        if plan.rules[name].acts is not None:
            module = model.get_submodule(name)
            undo.append(Interception(module, _operand(plan, name, module, operands), None).undo)
    for name in _attended(model, plan, unit):
        four = AttentionOperands(**{role: operands[place] for role, place in sites(name).items()})
        undo.append(AttentionInterception(model.get_submodule(name), four, name).undo)
    return undo


def _operand(plan: Plan, name: str, module: nn.Module, operands: Mapping[str, Operand]) -> Operand:
    places = plan.layer_places(name)
    if len(places) == 1:
        return operands[name]
    (first, second), at, axis = (operands[place] for place in places), plan.splits[name], axes(module).acts

    def both(x: Tensor) -> Tensor:
        halves = x.narrow(axis, 0, at), x.narrow(axis, at, x.shape[axis] - at)
        return torch.cat([first(halves[0]), second(halves[1])], dim=axis)

    return both
