"""The results of a search as text, as a table for machines, and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fpsim.cli.render import Column, Table
from fpsim.cli.values import json_value
from fpsim.methods.found_formats import LayerFormats
from fpsim.quant.search.result import SearchResult

_MACHINE = (
    "layer",
    "tensor",
    "from",
    "to",
    "encoding",
    "bias",
    "bias_max",
    "maximum",
    "mse",
    "sqnr_db",
    "runner_up",
    "runner_up_sqnr_db",
)
_HEADS = ("encoding", "bias", "SQNR dB", "runner-up", "max")


def rows(found: Sequence[LayerFormats]) -> list[dict[str, Any]]:
    """Return a record a tensor: weights and input of each layer, in the order of the layers.

    An input that follows the timestep has a record for each bin, from ``from`` to below ``to``, None where it is open.
    """
    return [
        {"layer": layer.name, "tensor": tensor, "from": _end(start), "to": _end(stop), **_record(result)}
        for layer in found
        for tensor, start, stop, result in _tensors(layer)
    ]


def _tensors(layer: LayerFormats) -> Iterator[tuple[str, float, float, SearchResult]]:
    if layer.weights is not None:
        yield "weights", -math.inf, math.inf, layer.weights
    for each in layer.inputs:
        yield "input", each.start, each.stop, each.result


def _end(timestep: float) -> float | None:
    return timestep if math.isfinite(timestep) else None


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
    binned = about["timestep_bins"] > 1
    heads = ("layer", "tensor", *(("timestep",) if binned else ()), *_HEADS)
    right = ("bias", "max", "SQNR dB")
    columns = tuple(Column(name=head, right=head in right, optional=head in ("runner-up", "max")) for head in heads)
    cells = [_cells(row, binned=binned) for row in listed]
    return Table(columns=columns, rows=cells, comments=_comments(listed, about))


def _cells(row: Mapping[str, Any], *, binned: bool) -> tuple[str, ...]:
    bias = f"{row['bias']:.4f}"
    if row["bias_max"] != row["bias"]:
        bias = f"{row['bias']:.2f} to {row['bias_max']:.2f}"
    behind = "-"
    if row["runner_up"] is not None:
        behind = row["runner_up"]
        if math.isfinite(row["sqnr_db"]):
            behind += f" {row['runner_up_sqnr_db'] - row['sqnr_db']:+.2f} dB"
    where = (_timestep(row),) if binned else ()
    found = (row["encoding"], bias, f"{row['sqnr_db']:.2f}", behind, f"{row['maximum']:.4g}")
    return row["layer"] or "(the model)", row["tensor"], *where, *found


def _timestep(row: Mapping[str, Any]) -> str:
    low, high = row["from"], row["to"]
    if low is None:
        return "all" if high is None else f"below {high:g}"
    return f"{low:g} on" if high is None else f"{low:g} to {high:g}"


def _comments(listed: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> tuple[str, ...]:
    lines = [f"{about['model']}: least squared error of encodings with {about['maxima']} real biases each, all finite"]
    for tensor in ("weights", "input"):
        chosen = Counter(row["encoding"] for row in listed if row["tensor"] == tensor)
        if chosen:
            lines.append(f"{tensor}: " + ", ".join(f"{name} x {count}" for name, count in chosen.most_common()))
    if about["timestep_bins"] > 1:
        encodings: dict[str, set[str]] = {}
        for row in listed:
            if row["tensor"] == "input":
                encodings.setdefault(row["layer"], set()).add(row["encoding"])
        several = sum(len(names) > 1 for names in encodings.values())
        lines.append(
            f"an input has a format in each of {about['timestep_bins']} timestep bins; encodings differ between the "
            f"bins of {several} of {len(encodings)} inputs"
        )
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
