"""The results of a search as text, as a table for machines, and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fpsim.cli.render import Column, Table
from fpsim.cli.values import json_value
from fpsim.methods.found_formats import LayerFormats
from fpsim.quant.search.result import SearchResult

_MACHINE = (
    "layer",
    "tensor",
    "encoding",
    "bias",
    "bias_max",
    "maximum",
    "mse",
    "sqnr_db",
    "runner_up",
    "runner_up_sqnr_db",
)


def rows(found: Sequence[LayerFormats]) -> list[dict[str, Any]]:
    """Return a record a tensor: weights and input of each layer, in the order of the layers."""
    return [
        {"layer": layer.name, "tensor": tensor, **_record(result)}
        for layer in found
        for tensor, result in (("weights", layer.weights), ("input", layer.acts))
        if result is not None
    ]


def _record(result: SearchResult) -> dict[str, Any]:
    ranking = result.ranking()
    name, sqnr = ranking[1] if len(ranking) > 1 else (None, None)
    return {
        "encoding": result.encoding.name,
        "bias": float(result.bias.min()),
        "bias_max": float(result.bias.max()),
        "maximum": float(result.maximum.max()),
        "mse": result.mse,
        "sqnr_db": result.sqnr_db,
        "runner_up": name,
        "runner_up_sqnr_db": sqnr,
    }


def human(listed: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> Table:
    """Return the table for the eye."""
    heads = ("layer", "tensor", "encoding", "bias", "SQNR dB", "runner-up", "max")
    right = ("bias", "max", "SQNR dB")
    columns = tuple(Column(name=head, right=head in right, optional=head in ("runner-up", "max")) for head in heads)
    return Table(columns=columns, rows=[_cells(row) for row in listed], comments=_comments(listed, about))


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    bias = f"{row['bias']:.4f}"
    if row["bias_max"] != row["bias"]:
        bias = f"{row['bias']:.2f} to {row['bias_max']:.2f}"
    behind = "-"
    if row["runner_up"] is not None:
        behind = row["runner_up"]
        if math.isfinite(row["sqnr_db"]):
            behind += f" {row['runner_up_sqnr_db'] - row['sqnr_db']:+.2f} dB"
    maximum = f"{row['maximum']:.4g}"
    return row["layer"] or "(the model)", row["tensor"], row["encoding"], bias, f"{row['sqnr_db']:.2f}", behind, maximum


def _comments(listed: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> tuple[str, ...]:
    lines = [f"{about['model']}: least squared error of encodings with {about['maxima']} real biases each, all finite"]
    for tensor in ("weights", "input"):
        chosen = Counter(row["encoding"] for row in listed if row["tensor"] == tensor)
        if chosen:
            lines.append(f"{tensor}: " + ", ".join(f"{name} x {count}" for name, count in chosen.most_common()))
    if about["granularity"] == "channel" and about["weights_encodings"]:
        lines.append("weights per output channel: bias is the range over the channels; a policy holds each channel's")
    if about["sketch_excess"] is not None:
        decibels = 10 * math.log10(1 + about["sketch_excess"])
        lines.append(f"errors of inputs are from sketches: too large by at most {decibels:.2g} dB, never too small")
    return tuple(lines)


def machine(listed: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table for programs."""
    cells = [["" if row[key] is None else str(row[key]) for key in _MACHINE] for row in listed]
    return Table(columns=tuple(Column(name=name) for name in _MACHINE), rows=cells)


def document(listed: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything as strict JSON values."""
    return {"search": dict(about), "tensors": [{key: _json(value) for key, value in row.items()} for row in listed]}


def _json(value: Any) -> Any:
    return json_value(value) if isinstance(value, float) else value
