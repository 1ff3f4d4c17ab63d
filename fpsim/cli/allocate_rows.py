"""An allocation as text, as a table for machines, and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fpsim.cli.render import Column, Table
from fpsim.methods.allocation_costs import weight_bytes
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.methods.mpq_diff import Allocated
from fpsim.model.load import LoadedModel
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.sizes import element_bits
from fpsim.quant.allocation.totals import Choice, harm_of

_MACHINE = ("layer", "weights", "weight_bits", "acts", "act_bits", "parameters", "bytes", "harm")


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
            }
        )
    return rows


def _point(point: Allocation, parameters: int) -> dict[str, Any]:
    use = next(iter(point.used.values()))
    harm = harm_of(point.problem, Choice(point.weights, point.acts))
    found = {"limit": use.limit, "used": use.used, "harm": harm, "gap": point.gap}
    return found | ({"bits_per_weight": 8 * use.used / parameters} if use.unit == "bytes" else {})


def human(shown: Mapping[str, Any]) -> Table:
    """Return the table for the eye."""
    heads = ("layer", "weights", "inputs", "bytes", "harm", "parameters")
    columns = tuple(
        Column(name=head, right=head in ("bytes", "harm", "parameters"), optional=head == "parameters")
        for head in heads
    )
    rows = [
        (
            row["layer"] or "(the model)",
            row["weights"],
            _joined(row["acts"]),
            f"{row['bytes']:,}",
            f"{row['harm']:.3g}",
            f"{row['parameters']:,}",
        )
        for row in shown["layers"]
    ]
    return Table(columns=columns, rows=rows, comments=_comments(shown))


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(set(names)) == 1 else " ".join(names)


def _comments(shown: Mapping[str, Any]) -> tuple[str, ...]:
    about = shown["allocation"]
    chosen = Counter(row["weights"] for row in shown["layers"])
    lines = [
        f"{about['model']}: least {about['unit']} by measure {about['measure']}",
        f"harm {about['harm']:.6g}, proven to within {about['gap']:.2g} of the least, {about['seconds']:.1f} s",
        *(_budget(budget) for budget in shown["budgets"]),
        f"weights: {about['bits_per_weight']:.3f} bits each with scales; whole model {about['model_bytes']:,} bytes",
        "weights: " + ", ".join(f"{name} x {count}" for name, count in chosen.most_common()),
    ]
    inputs = Counter(name for row in shown["layers"] for name in row["acts"])
    if set(inputs) != {"none"}:
        lines.append("inputs: " + ", ".join(f"{name} x {count}" for name, count in inputs.most_common()))
    if len(about["bins"]) > 1:
        lines.append("inputs by timestep: " + ", ".join(about["bins"]))
    return (*lines, *about["notes"])


def _budget(budget: Mapping[str, Any]) -> str:
    used, limit, least, most = (f"{budget[key]:,.10g}" for key in ("used", "limit", "least", "most"))
    return f"{budget['name']}: {used} of {limit} {budget['unit']} ({least} to {most} possible)"


def machine(shown: Mapping[str, Any]) -> Table:
    """Return the table for programs; several inputs' formats are separated by spaces."""
    cells = [[_cell(row[key]) for key in _MACHINE] for row in shown["layers"]]
    return Table(columns=tuple(Column(name=name) for name in _MACHINE), rows=cells)


def _cell(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def front_table(shown: Mapping[str, Any]) -> Table:
    """Return the Pareto front for the eye."""
    budget = shown["budgets"][0]
    per_weight = ["bits a weight"] if "bits_per_weight" in shown["front"][0] else []
    heads = [f"{budget['name']}, {budget['unit']}", *per_weight, "harm", "gap"]
    rows = [
        tuple(
            [f"{point['used']:,.10g}"]
            + ([f"{point['bits_per_weight']:.3f}"] if "bits_per_weight" in point else [])
            + [f"{point['harm']:.6g}", f"{point['gap']:.1g}"]
        )
        for point in shown["front"]
    ]
    return Table(columns=tuple(Column(name=head, right=True) for head in heads), rows=rows, comments=("front",))
