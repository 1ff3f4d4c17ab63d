"""What the figure of an allocation shows: the Pareto front, and the bits of each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fpsim.report.text import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours without black and yellow, as in the figures of a run.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
_MARKERS = ["|", "o", "x", "^", "D", "s", "v"]
_HATCHES = ["", "///", "...", "xxx", "\\\\\\", "++"]
_WIDTH, _FRONT, _LAYER = 8.6, 3.1, 0.17


def allocation_figure(shown: Mapping[str, Any]) -> Figure:
    """The front (where there is one) above the bits of each layer's weights and inputs, first layer at the top.

    Args:
        shown: the document of ``fpsim allocate --json``.
    """
    from matplotlib.figure import Figure

    layers, front = shown["layers"], shown["front"]
    bins, chosen = len(shown["allocation"]["bins"]), any(len(row["acts"]) > 1 for row in layers)
    height = 1.3 + _LAYER * len(layers)
    figure = Figure(figsize=(_WIDTH, height + (_FRONT if front else 0)), layout="constrained")
    bottom: Any = figure
    if front:
        parts: Any = figure.subfigures(2, 1, height_ratios=[_FRONT, height])
        bottom = parts[1]
        _front(parts[0].add_subplot(), shown)
    widths = [1.6, 1.0] if bins > 1 and chosen else [1.0]
    panels = bottom.subplots(1, len(widths), width_ratios=widths, sharey=True, squeeze=False)[0]
    _bars(bottom, panels[0], layers)
    if len(widths) > 1:
        _by_timestep(bottom, panels[1], shown)
    elif any(row["acts"] != ["none"] for row in layers):
        _inputs(panels[0], layers)
    handles, labels = panels[0].get_legend_handles_labels()
    bottom.legend(handles, labels, loc="outside upper left", ncols=8, frameon=False)
    return figure


def _front(axes: Axes, shown: Mapping[str, Any]) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    points, budget, about = shown["front"], shown["budgets"][0], shown["allocation"]
    per_weight = "bits_per_weight" in points[0]
    x = [point["bits_per_weight"] if per_weight else point["used"] for point in points]
    y = [point["harm"] for point in points]
    axes.plot(x, y, "o-", color=_COLOURS[0], markersize=3.5, label="least harm at each limit")
    at = about["bits_per_weight"] if per_weight else budget["used"]
    axes.plot([at], [about["harm"]], "D", color=_COLOURS[1], markersize=7, label="this policy")
    if min(y) > 0 and max(y) > 20 * min(y):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _place: f"{value:g}")  # labels are no formulas here
        axes.yaxis.set_minor_formatter(lambda _value, _place: "")
    axes.set_xlabel("bits a weight, scales counted" if per_weight else f"{budget['name']}, {budget['unit']}")
    axes.set_ylabel(_wrapped(about["unit"]))
    axes.legend(frameon=False)


def _bars(figure: Any, axes: Axes, layers: Sequence[Mapping[str, Any]]) -> None:
    """A bar a layer, as long as its width in bits, with colour and hatching by format."""
    from matplotlib.ticker import MaxNLocator

    axes.spines[["top", "right"]].set_visible(False)
    order = {
        row["weights"]: row["weight_bits"]
        for row in sorted(layers, key=lambda row: (row["weight_bits"], row["weights"]))
    }
    for number, name in enumerate(order):
        places = [i for i, row in enumerate(layers) if row["weights"] == name]
        axes.barh(
            places,
            [layers[i]["weight_bits"] for i in places],
            height=0.78,
            color=_COLOURS[number % len(_COLOURS)],
            hatch=_HATCHES[number // len(_COLOURS) % len(_HATCHES)],
            edgecolor="white",
            linewidth=0,
            label=printable(name),
        )
    axes.set_yticks(range(len(layers)), [printable(row["layer"]) or "(the model)" for row in layers], fontsize=7.5)
    axes.set_ylim(len(layers) - 0.3, -0.7)
    axes.set_xlabel("bits of a weight, by format")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", visible=False)


def _inputs(axes: Axes, layers: Sequence[Mapping[str, Any]]) -> None:
    """A mark a layer at the bits of its input, of a shape by format."""
    from matplotlib import rcParams

    for number, name in enumerate(_formats(layers, "acts", "act_bits")):
        places = [i for i, row in enumerate(layers) if row["acts"][0] == name]
        bits = [layers[i]["act_bits"][0] for i in places]
        style: dict[str, Any] = {"color": rcParams["text.color"], "markersize": 5, "mew": 1.4, "clip_on": False}
        marker = _MARKERS[number % len(_MARKERS)]
        axes.plot(bits, places, marker, fillstyle="none", label=f"input {printable(name)}", **style)


def _formats(layers: Sequence[Mapping[str, Any]], key: str, bits: str) -> list[str]:
    """Names of the formats that occur, the narrowest first."""
    found = {str(_first(row[key])): _first(row[bits]) for row in layers}
    return sorted((name for name in found if name != "none" or key == "weights"), key=lambda name: (found[name], name))


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) else value


def _by_timestep(figure: Any, axes: Axes, shown: Mapping[str, Any]) -> None:
    bits = np.array([row["act_bits"] for row in shown["layers"]], dtype=float)
    image = axes.imshow(bits, aspect="auto", cmap="viridis", interpolation="none")
    labels = [label.partition(" ")[0] for label in shown["allocation"]["bins"]]
    axes.set_xticks([i - 0.5 for i in range(len(labels))], labels, fontsize=7.5)
    axes.set_xlabel("timestep (noisier to the right)")
    axes.grid(visible=False)
    figure.colorbar(image, ax=axes, label="bits of the input", ticks=sorted(set(bits.ravel().tolist())), fraction=0.06)


def _wrapped(text: str) -> str:
    words, lines = text.split(), [""]
    for word in words:
        lines = [*lines, word] if len(lines[-1]) + len(word) > 30 else [*lines[:-1], f"{lines[-1]} {word}".strip()]
    return "\n".join(lines)
