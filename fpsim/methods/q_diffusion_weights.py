"""Q-Diffusion's first phase: the rounding of the weights, unit by unit behind the quantized prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from fpsim.methods.q_diffusion_plan import Plan, weight_parts, weight_quantizers
from fpsim.methods.q_diffusion_settings import Settings
from fpsim.methods.q_diffusion_store import UnitStore
from fpsim.methods.q_diffusion_units import full_names
from fpsim.methods.rounding_run import Progress
from fpsim.model.unit_data import capture
from fpsim.quant.reconstruction.rounding import learn_unit
from fpsim.quant.rounding.grid import rounding_grid

Call = Mapping[str, Any]


def learn_weights(
    model: nn.Module,
    plan: Plan,
    order: Mapping[str, float],
    calls: Sequence[Call],
    settings: Settings,
    store: UnitStore,
    progress: Progress,
) -> None:
    """Learn each unit's rounding; finished units are read, and each is kept as soon as it is finished.

    The unit's inputs are those behind the quantized units before it, its target is the full-precision output of
    full-precision inputs, activations are in full precision.

    Args:
        model: in full precision.
        plan: of the model.
        order: the units in the order in which they run, and what they cost.
        calls: arguments of the model.
        settings: of the method.
        store: of finished units.
        progress: told about the work.
    """
    prefix: dict[str, Tensor] = {}
    resumed = any(store.has_weights(unit) for unit in order)
    rule = "max" if resumed and settings.compat.max_on_resume else None
    for unit, cost in order.items():
        layers = weight_layers(plan, unit)
        told = progress.part(cost)
        if not layers:
            continue
        if not store.has_weights(unit):
            _learn(model, plan, unit, layers, calls, prefix, settings, rule, store, told)
        prefix |= {f"{name}.weight".lstrip("."): weight for name, weight in store.read_weights(unit)[0].items()}


def weight_layers(plan: Plan, unit: str) -> dict[str, str]:
    """Return the layers of a unit whose weights are quantized: name inside the unit to name in the model."""
    names = full_names(unit, plan.units[unit])
    return {part: name for part, name in names.items() if plan.rules[name].weights is not None}


def _learn(
    model: nn.Module,
    plan: Plan,
    unit: str,
    layers: Mapping[str, str],
    calls: Sequence[Call],
    prefix: Mapping[str, Tensor],
    settings: Settings,
    rule: str | None,
    store: UnitStore,
    told: Any,
) -> None:
    grids = {}
    for part, name in layers.items():
        module = model.get_submodule(name)
        halves = zip(weight_parts(plan, name, module), weight_quantizers(plan, name, module, rule), strict=True)
        grids[part] = [rounding_grid(weight, quantizer) for weight, quantizer in halves]
    exact = capture(model, unit, calls)
    data = exact if not prefix else replace(capture(model, unit, calls, prefix), output=exact.output)
    found = learn_unit(model.get_submodule(unit), grids, data, settings.weights, told)
    figures = {
        "loss_nearest": found.loss_before,
        "loss_learned": found.loss_after,
        "changed": found.changed,
        "scale_rule": rule,
    }
    store.write_weights(unit, {layers[part]: weight for part, weight in found.weights.items()}, figures)
