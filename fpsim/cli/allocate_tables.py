"""The tables of an allocation: its layers for the eye and for machines, its front, and why a layer has its format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from fpsim.cli.render import Column, Table

_MACHINE = ("layer", "weights", "weight_bits", "acts", "act_bits", "parameters", "bytes", "harm", "act_harm")


def human(shown: Mapping[str, Any]) -> Table:
    """Return the table for the eye."""
    chosen = any(row["act_harm"] for row in shown["layers"])
    heads = ("layer", "weights", "inputs", "bytes", "harm", *(["inputs' harm"] if chosen else []), "parameters")
    columns = tuple(
        Column(name=head, right=head not in ("layer", "weights", "inputs"), optional=head == "parameters")
        for head in heads
    )
    rows = [
        (
            row["layer"] or "(the model)",
            row["weights"],
            _joined(row["acts"]),
            f"{row['bytes']:,}",
            f"{row['harm']:.3g}",
            *([f"{math.fsum(row['act_harm']):.3g}"] if chosen else []),
            f"{row['parameters']:,}",
        )
        for row in shown["layers"]
    ]
    return Table(columns=columns, rows=rows, comments=_comments(shown))


def _parts(shown: Mapping[str, Any]) -> str:
    about = shown["allocation"]
    if not any(row["act_harm"] for row in shown["layers"]):
        return ""
    return f" (weights {about['harm_of_weights']:.4g}, inputs {about['harm_of_inputs']:.4g})"


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(set(names)) == 1 else " ".join(names)


def _comments(shown: Mapping[str, Any]) -> tuple[str, ...]:
    about = shown["allocation"]
    chosen = Counter(row["weights"] for row in shown["layers"])
    lines = [
        f"{about['model']}: least {about['unit']} by measure {about['measure']}",
        f"harm {about['harm']:.6g}{_parts(shown)}, proven to within {about['gap']:.2g} of the least, "
        f"{about['seconds']:.1f} s",
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


def why_table(shown: Mapping[str, Any], glob: str) -> Table:
    """Return what each format would cost and harm in the layers that match a glob; ``*`` marks the chosen one."""
    columns = tuple(
        Column(name=name, right=name in ("bytes", "harm")) for name in ("layer", "", "weights", "bytes", "harm")
    )
    rows = [
        (
            row["layer"] or "(the model)",
            "*" if name == row["weights"] else "",
            name,
            f"{each['bytes']:,}",
            "not allowed" if each["harm"] is None else f"{each['harm']:.3g}",
        )
        for row in shown["layers"]
        if fnmatchcase(row["layer"], glob)
        for name, each in row["choices"].items()
    ]
    return Table(columns=columns, rows=rows, comments=(f"choices of {glob}",))


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
