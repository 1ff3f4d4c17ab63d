"""Formats and scales of activations by bin of the timestep, as tables of the HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fpsim.report.parts import escape

Bins = Sequence[Mapping[str, Any]]


def bins_tables(layers: Mapping[str, Bins]) -> str:
    """One table for each set of bins: a line a layer, a column a bin, and in it format and scale.

    Args:
        layers: ``act_bins`` of one row of ``run.json``; empty where no input follows the timestep.

    Returns:
        HTML in a closed box, or nothing.
    """
    by_edges: dict[tuple[str, ...], dict[str, Bins]] = {}
    for name, bins in layers.items():
        by_edges.setdefault(tuple(map(_label, bins)), {})[name] = bins
    if not by_edges:
        return ""
    tables = "".join(f'<div class="scroll tall">{_table(labels, rows)}</div>' for labels, rows in by_edges.items())
    return f'<details class="plain"><summary>Activation formats and scales by timestep</summary>{tables}</details>'


def _table(labels: Sequence[str], rows: Mapping[str, Bins]) -> str:
    head = "".join(f'<th scope="col" class="number">t {escape(label)}</th>' for label in labels)
    body = "\n".join(
        f"<tr><td>{escape(name)}</td>{''.join(map(_cell, bins))}</tr>" for name, bins in sorted(rows.items())
    )
    return (
        f'<table class="bins"><thead><tr><th scope="col">layer</th>{head}</tr></thead><tbody>\n{body}\n</tbody></table>'
    )


def _cell(each: Mapping[str, Any]) -> str:
    """The format with its bias where that stands for a scale, otherwise with its scale."""
    if "bias" in each:
        how = f", bias {each['bias']:.3f}"
    else:
        how = "" if each["scale"] is None else f" × {each['scale']:.3g}"
    return f'<td class="number">{escape(each["format"])}{how}</td>'


def _label(each: Mapping[str, Any]) -> str:
    low, high = each["from"], each["to"]
    if low is None:
        return "any" if high is None else f"below {high:g}"
    return f"{low:g} on" if high is None else f"{low:g} to {high:g}"
