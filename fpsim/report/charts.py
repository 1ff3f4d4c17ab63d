"""What the figures of a run show; :mod:`fpsim.report.plots` decides how they are written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim.report.text import printable, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without black and yellow: distinct for every kind of colour vision, and each
# visible on white and on black. Markers and line styles tell the rows apart without any colour.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
_LINES = ["-", "--", ":", "-."]
_LEGEND_CHARACTERS = 84
_WIDTH = 8.6


def error_per_timestep(run: Mapping[str, Any]) -> Figure:
    """Latent SQNR against the sampling step, a line a row."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(3.7)
    for index, row in enumerate(run["rows"]):
        points = [(at["step"], _drawable(at.get("latent_sqnr_db"))) for at in row["timesteps"]]
        style = _series(index)
        steps, values = [step for step, _ in points], [value for _, value in points]
        axes.plot(steps, values, markersize=3.5, label=_name(row, values), linestyle=_line(index), **style)
    axes.set_xlabel("sampling step (0 is the first, on pure noise)")
    axes.set_ylabel("latent SQNR, dB")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _finished(figure, axes)


def error_per_layer(run: Mapping[str, Any]) -> Figure:
    """Output SQNR of each layer in execution order, first at the top, a series of markers a row."""
    names = list(dict.fromkeys(layer["name"] for row in run["rows"] for layer in row["layers"]))
    places = {name: place for place, name in enumerate(names)}
    figure, axes = _figure(1.5 + 0.17 * len(names))
    for index, row in enumerate(run["rows"]):
        values = [_drawable(layer.get("output_sqnr_db")) for layer in row["layers"]]
        heights = [places[layer["name"]] for layer in row["layers"]]
        axes.plot(values, heights, markersize=5, linestyle="none", label=_name(row, values), **_series(index))
    axes.set_yticks(range(len(names)), [printable(name) for name in names], fontsize=7.5)
    axes.set_ylim(len(names) - 0.3, -0.7)
    axes.tick_params(axis="x", top=True, labeltop=True)
    axes.set_xlabel("SQNR of the layer's output, dB")
    return _finished(figure, axes)


def sparsity_per_row(run: Mapping[str, Any]) -> Figure:
    """The share of weights that are exactly zero: a dot a layer, a bar at the median, a line a row."""
    from matplotlib import rcParams

    ink = rcParams["text.color"]
    figure, axes = _figure(0.9 + 0.5 * max(len(run["rows"]), 1))
    for index, row in enumerate(run["rows"]):
        shares = [_drawable(layer.get("weight_sparsity")) * 100 for layer in row["layers"]]
        finite = [share for share in shares if math.isfinite(share)]
        # The golden ratio spreads neighbours apart, the same way every time.
        heights = [index + ((place * 0.6180339887) % 1 - 0.5) * 0.5 for place in range(len(shares))]
        style: dict[str, Any] = {
            "linestyle": "none",
            "markersize": 4,
            "alpha": 0.6,
            "markeredgewidth": 0,
            "clip_on": False,
        }
        axes.plot(shares, heights, **style, **_series(index))
        if finite:
            axes.vlines(median(finite), index - 0.36, index + 0.36, colors=ink, linewidth=2, zorder=3)
            _beside(axes, index, f"median {median(finite):.1f} %, most {max(finite):.1f} %")
    axes.set_yticks(range(len(run["rows"])), ["\n".join(wrapped(row["label"], 28)) for row in run["rows"]])
    axes.set_ylim(len(run["rows"]) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("weights that are exactly zero, % of a layer")
    return _finished(figure, axes, legend=False)


def _figure(height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _finished(figure: Figure, axes: Axes, *, legend: bool = True) -> Figure:
    """Add the legend above the data, or say that there are no data."""
    handles, labels = axes.get_legend_handles_labels()
    if legend and handles:
        columns = max(1, _LEGEND_CHARACTERS // (max(map(len, labels)) + 6))
        figure.legend(handles, labels, loc="outside upper left", ncols=min(columns, len(labels)), frameon=False)
    if not any(np.isfinite(np.asarray(line.get_xydata(), dtype=float)).all(axis=1).any() for line in axes.lines):
        axes.text(0.5, 0.5, "no finite value to draw", transform=axes.transAxes, ha="center", va="center")
    return figure


def _beside(axes: Axes, height: float, text: str) -> None:
    place = axes.get_yaxis_transform()
    axes.text(1.02, height, text, transform=place, va="center", ha="left", fontsize=8.5)


def _series(index: int) -> dict[str, Any]:
    return {"color": _COLOURS[index % len(_COLOURS)], "marker": _MARKERS[index % len(_MARKERS)]}


def _line(index: int) -> str:
    return _LINES[index // len(_COLOURS) % len(_LINES)]


def _name(row: Mapping[str, Any], values: Sequence[float]) -> str:
    """The row's label for a legend, with a remark if nothing of it can be drawn."""
    remark = "" if any(map(math.isfinite, values)) else " (no finite value)"
    text = "\n".join(wrapped(row["label"] + remark, 40))
    # matplotlib leaves labels that begin with an underscore out of legends.
    return "\u200b" + text if text.startswith("_") else text


def _drawable(value: float | None) -> float:
    """The value, or NaN (a gap) for what has no place on an axis."""
    return math.nan if value is None or not math.isfinite(value) else value
