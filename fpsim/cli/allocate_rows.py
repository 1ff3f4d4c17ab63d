"""An allocation as one JSON document, from which tables and plots are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fpsim.methods.allocation_costs import weight_bytes
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.methods.mpq_diff import Allocated
from fpsim.model.load import LoadedModel
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.sizes import element_bits
from fpsim.quant.allocation.totals import Choice, harm_of


def document(request: AllocationRequest, model: LoadedModel, found: Allocated) -> dict[str, Any]:
    """Return everything as JSON values: what plots and tables show."""
    allocation, measured = found.allocation, found.measured
    rows = layers(request, found)
    packed = sum(row["bytes"] for row in rows)
    parameters = sum(row["parameters"] for row in rows)
    return {
        "allocation": {
            "model": model.name,
            "sha256": model.sha256,
            "measure": request.measure,
            "settings": dict(request.settings),
            "harm": allocation.harm,
            "harm_of_weights": math.fsum(row["harm"] for row in rows),
            "harm_of_inputs": math.fsum(each for row in rows for each in row["act_harm"]),
            "unit": measured.harm.unit,
            "bound": allocation.bound,
            "gap": allocation.gap,
            "seconds": allocation.seconds,
            "bytes": packed,
            "bits_per_weight": 8 * packed / parameters,
            "model_bytes": packed + 4 * (model.parameters - parameters),
            "bins": [measured.bins.label(i) for i in range(measured.bins.count)],
            "timesteps": list(measured.timesteps),
            "images": request.images,
            "notes": [*measured.harm.notes, *allocation.notes()],
        },
        "budgets": [
            {"name": name, "unit": use.unit, "used": use.used, "limit": use.limit, "least": use.least, "most": use.most}
            for name, use in allocation.used.items()
        ],
        "layers": rows,
        "front": [_point(point, parameters) for point in found.front],
    }


def layers(request: AllocationRequest, found: Allocated) -> list[dict[str, Any]]:
    """Return a record a layer, in the order of the model's definition."""
    allocation, measured = found.allocation, found.measured
    names, specs = list(request.weights), tuple(request.weights.values())
    sizes = weight_bytes(measured.sizes, specs, measured.split)
    acts = allocation.act_formats()
    fixed = next(iter(request.acts)) if len(request.acts) == 1 else "none"
    rows = []
    for place, (name, size) in enumerate(measured.sizes.items()):
        chosen = int(allocation.weights[place])
        inputs = list(acts.get(name, (fixed,)))
        rows.append(
            {
                "layer": name,
                "weights": names[chosen],
                "weight_bits": element_bits(specs[chosen]),
                "acts": inputs,
                "act_bits": [element_bits(request.acts.get(each)) for each in inputs],
                "parameters": size.weights,
                "bytes": int(sizes[place, chosen]),
                "harm": float(measured.harm.weights[place, chosen]),
                "act_harm": _act_harm(found, place),
                "choices": choices(found, place, sizes[place].tolist()),
            }
        )
    return rows


def choices(found: Allocated, place: int, sizes: Sequence[int]) -> dict[str, dict[str, float | int | None]]:
    """What each format would cost and harm in a layer; harm is None where the format is not allowed."""
    problem = found.allocation.problem
    harms = [float(harm) if math.isfinite(harm) else None for harm in problem.harm[place]]
    return {name: {"bytes": size, "harm": harm} for name, size, harm in zip(problem.weights, sizes, harms, strict=True)}


def _act_harm(found: Allocated, place: int) -> list[float]:
    """What a layer's inputs harm in each timestep bin; nothing where they are not chosen."""
    allocation, harm = found.allocation, found.measured.harm.acts
    if allocation.acts is None or harm is None:
        return []
    return [float(harm[place, chosen, number]) for number, chosen in enumerate(allocation.acts[place])]


def _point(point: Allocation, parameters: int) -> dict[str, Any]:
    use = next(iter(point.used.values()))
    harm = harm_of(point.problem, Choice(point.weights, point.acts))
    found = {"limit": use.limit, "used": use.used, "harm": harm, "gap": point.gap}
    return found | ({"bits_per_weight": 8 * use.used / parameters} if use.unit == "bytes" else {})
