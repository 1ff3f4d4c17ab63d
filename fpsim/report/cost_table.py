"""What the rows of a run would cost on hardware, as a section of the HTML report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from fpsim.report.parts import escape

_COLUMNS = (
    ("quantization", False),
    ("device", False),
    ("ms a step", True),
    ("interval", True),
    ("level", False),
    ("bound ms", True),
    ("peak MB", True),
    ("waits for", False),
    ("layers are multiplied in", False),
)
_NOTE = (
    "One step of the denoiser, without text encoders and decoder. The interval is of the ms a step, whose level is "
    "named; the bound is the speed of light, no prediction. Native: the device multiplies the formats as they are; "
    "stored: it decodes them first. 1 MB = 10⁶ bytes."
)


def cost_section(run: Mapping[str, Any]) -> str:
    """Estimated time and memory of each row on a few devices.

    Args:
        run: the contents of ``run.json``; one of an older fpsim has no ``cost``.

    Returns:
        HTML; nothing without ``cost``.
    """
    cost = run.get("cost")
    if not cost:
        return ""
    title = "<h2>Cost on hardware</h2>"
    if "missing" in cost:
        return f'{title}<p class="note">No estimate: {escape(cost["missing"])}</p>'
    head = "".join(f'<th scope="col"{_right(numeric)}>{name}</th>' for name, numeric in _COLUMNS)
    groups = (list(group) for _, group in groupby(cost["rows"], key=lambda entry: entry["label"]))
    body = "\n".join(_row(entry, place, len(group)) for group in groups for place, entry in enumerate(group))
    return (
        f'{title}<p class="note">{escape(_setting(cost))} {_NOTE}</p>'
        f'<div class="scroll"><table class="cost"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
        f"{_notes(cost['notes'])}"
    )


def _setting(cost: Mapping[str, Any]) -> str:
    images = f"{cost['batch']} image{'s' * (cost['batch'] != 1)}"
    guidance = " with guidance" if cost["cfg"] else ""
    return (
        f"A batch of {images}{guidance}, {cost['runtime']} runtime, {cost['attention']} attention, "
        f"{cost['quantize_ops']} quantize operations, {cost['dtype']} where nothing is quantized."
    )


def _row(entry: Mapping[str, Any], place: int, size: int) -> str:
    """One device; the first one of a row bears the label of all."""
    label = "" if place else f'<th scope="rowgroup" rowspan="{size}">{escape(entry["label"])}</th>'
    low, high = (_three(1e3 * entry[key]) for key in ("step_low_s", "step_high_s"))
    fits = entry["peak_bytes"] <= entry["device_bytes"]
    cells = (
        entry["device"],
        _three(1e3 * entry["step_s"]),
        f"{low} to {high}",
        entry["level"],
        _three(1e3 * entry["step_bound_s"]),
        f"{entry['peak_bytes'] / 1e6:,.1f}",
        entry["waits_for"] if fits else "does not fit into memory",
        _computes(entry["computes"]),
    )
    kinds = (numeric for _, numeric in _COLUMNS[1:])
    shown = "".join(f"<td{_right(kind)}>{escape(cell)}</td>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{label}{shown}</tr>"


def _computes(found: Sequence[Mapping[str, Any]]) -> str:
    """Such as ``fp8, native``; with counts of layers where there are several."""
    many = len(found) > 1
    return "; ".join(f"{item['compute']}, {item['level']}" + f" ({item['layers']} layers)" * many for item in found)


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<details class="plain"><summary>Where the figures come from</summary><ul>{items}</ul></details>'


def _three(value: float) -> str:
    """Three digits, without an exponent.

    >>> _three(0.04599), _three(4.909), _three(1234.5)
    ('0.0460', '4.91', '1,234')
    """
    if not value:
        return "0"
    digits = 2 - next((power for power in range(5, -6, -1) if abs(value) >= 10**power), -6)
    return f"{value:,.{max(digits, 0)}f}"


def _right(numeric: bool) -> str:
    return ' class="number"' if numeric else ""
