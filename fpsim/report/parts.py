"""The parts of the HTML report: each a pure function from a run's facts to escaped HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fpsim.report.summary import number, summary_rows

# What a fact is called on the page, where its key in run.json would puzzle a reader.
_TITLES = {
    "class": "architecture",
    "sha256": "SHA-256",
    "num_images": "images",
    "weights_granularity": "weights, one scale per",
    "acts_granularity": "activations, one scale per",
    "scale": "scale rule",
    "act_scales": "activation scales",
    "skip": "skipped layers",
    "timestep_bins": "timestep bins of activations",
    "backend": "rounding by",
    "arch": "tensor core",
    "promote_every": "promoted to FP32 every",
}
_SIGNS = {"inf": "∞", "-inf": "−∞", "nan": "NaN", "-": "–"}
_LAYER_COLUMNS = [
    ("layer", "name", None),
    ("kind", "kind", None),
    ("weights", "weights", None),
    ("acts", "acts", None),
    ("weight SQNR dB", "weight_sqnr_db", 1.0),
    ("weight zeros %", "weight_sparsity", 100.0),
    ("act SQNR dB", "act_sqnr_db", 1.0),
    ("act zeros %", "act_sparsity", 100.0),
    ("output SQNR dB", "output_sqnr_db", 1.0),
]


def escape(value: object) -> str:
    """Any user's text, harmless inside an element or a quoted attribute.

    Args:
        value: shown as ``str`` shows it.

    Returns:
        HTML.

    >>> escape('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    return html.escape(str(value), quote=True)


def facts(mapping: Mapping[str, Any]) -> str:
    """A list of names and values, in the mapping's order; None is left out.

    Args:
        mapping: one section of ``run.json``.

    Returns:
        HTML.
    """
    shown = [(key, value) for key, value in mapping.items() if value is not None]
    return f"<dl>{''.join(f'<dt>{_title(key)}</dt><dd>{_value(value)}</dd>' for key, value in shown)}</dl>"


def card(title: str, mapping: Mapping[str, Any]) -> str:
    """The facts of one section in a box.

    Args:
        title: the box's heading.
        mapping: one section of ``run.json``.

    Returns:
        HTML.
    """
    return f'<section class="card"><h3>{escape(title)}</h3>{facts(mapping)}</section>'


def summary_table(run: Mapping[str, Any]) -> str:
    """The summary, with what each row's formats resolved to below its label.

    Args:
        run: the contents of ``run.json``.

    Returns:
        HTML.
    """
    header, lines = summary_rows(run)
    head = "".join(f'<th scope="col"{_right(index > 0)}>{escape(name)}</th>' for index, name in enumerate(header))
    body = []
    for line, row in zip(lines, (None, *run["rows"]), strict=True):
        formats = "" if row is None else _resolved(row)
        cells = "".join(f"<td{_right(True)}>{_sign(text)}</td>" for text in line[1:])
        body.append(f"<tr><td><b>{escape(line[0])}</b>{formats}</td>{cells}</tr>")
    return _table("summary", head, body)


def layer_table(layers: Sequence[Mapping[str, Any]]) -> str:
    """One line a quantized layer, in execution order; a click on a heading sorts.

    Args:
        layers: the ``layers`` of one row.

    Returns:
        HTML.
    """
    titles = [("#", 1.0), *((title, factor) for title, _, factor in _LAYER_COLUMNS)]
    head = "".join(
        f'<th scope="col"{_right(factor is not None)}><button type="button">{title}</button></th>'
        for title, factor in titles
    )
    return _table("layers", head, (_layer_row(place, layer) for place, layer in enumerate(layers, start=1)))


def left_table(left: Sequence[Mapping[str, Any]]) -> str:
    """What stayed in full precision, and why.

    Args:
        left: the ``left`` of one row.

    Returns:
        HTML.
    """
    head = "".join(f'<th scope="col">{title}</th>' for title in ("module", "kind", "reason"))
    keys = ("name", "kind", "reason")
    return _table(
        "layers", head, ("<tr>" + "".join(f"<td>{escape(item[key])}</td>" for key in keys) + "</tr>" for item in left)
    )


def signed(value: float | None, digits: int = 1) -> str:
    """A number as the page shows it: a true minus, ∞ for what does not differ, – for no value.

    Args:
        value: the number.
        digits: after the point.

    Returns:
        Text that needs no escaping.
    """
    return _sign(number(value, digits))


def _layer_row(place: int, layer: Mapping[str, Any]) -> str:
    cells = [f'<td class="number" data-v="{place}">{place}</td>']
    for _, key, factor in _LAYER_COLUMNS:
        value = layer.get(key)
        if factor is None:
            cells.append(f"<td>{'–' if value is None else escape(value)}</td>")
        else:
            scaled = None if value is None else value * factor
            cells.append(f'<td class="number" data-v="{_sortable(scaled)}">{signed(scaled)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _sortable(value: float | None) -> str:
    """The number as JavaScript reads it: float's own "inf" would be no number there."""
    return "NaN" if value is None else repr(float(value)).replace("inf", "Infinity").replace("nan", "NaN")


def _table(kind: str, head: str, body: Iterable[str]) -> str:
    rows = "\n".join(body)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>'


def _resolved(row: Mapping[str, Any]) -> str:
    return f"<small>weights: {escape(row['weights'])}</small><small>activations: {escape(row['acts'])}</small>"


def _right(numeric: bool) -> str:
    return ' class="number"' if numeric else ""


def _sign(text: str) -> str:
    return _SIGNS.get(text, text.replace("-", "−"))


def _title(key: str) -> str:
    return escape(_TITLES.get(key, key.replace("_", " ")))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        return facts(value)
    if isinstance(value, list):
        return ", ".join(escape(item) for item in value) if value else "none"
    return escape(value)
