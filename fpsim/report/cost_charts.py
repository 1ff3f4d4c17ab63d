"""What the figures of costs show: rooflines, time by class, memory by batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fpsim.cost.latency import VECTOR
from fpsim.cost.memory import Memory
from fpsim.cost.result import Estimate, Row
from fpsim.cost.work import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours by class, and a marker each, so that colour is not needed.
COLOURS = dict(
    zip(
        CLASSES,
        ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#999999", "#5D3A9B"),
        strict=True,
    )
)
_MARKERS = dict(zip(CLASSES, ("o", "s", "^", "D", "v", "P", "X", "*"), strict=True))
_MEMORY = {
    "weights": ("weights", "#0072B2"),
    "scales": ("scales", "#5D3A9B"),
    "resident": ("other networks", "#56B4E9"),
    "activations": ("activations", "#009E73"),
    "scores": ("attention scores", "#D55E00"),
    "reserve": ("allocator reserve", "#999999"),
}
_COLUMNS, _INK = 3, "#3a3d42"


def roofline(found: Sequence[Estimate]) -> Figure:
    """Every layer a dot, under the roof of its device: rate against operations a byte, both logarithmic."""
    from matplotlib.figure import Figure

    columns = 2 if len(found) in (2, 4) else min(_COLUMNS, len(found))
    lines = -(-len(found) // columns)
    figure = Figure(figsize=(1.2 + 3.6 * columns, 0.9 + 3.1 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for place, axes in enumerate(grid.flat):
        if place >= len(found):
            axes.set_visible(False)
            continue
        _roof(axes, found[place])
        if place + columns >= len(found):  # nothing below it
            axes.set_xlabel("operations a byte")
            axes.tick_params(axis="x", labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("TFLOPS (TOPS)")
    by_label: dict[Any, Any] = {}
    for axes in grid.flat:
        handles, labels = axes.get_legend_handles_labels()
        by_label |= dict(zip(labels, handles, strict=True))
    ordered = [name for name in CLASSES if name in by_label]
    handles = [by_label[name] for name in ordered]
    figure.legend(handles, ordered, loc="outside upper left", ncols=len(ordered), frameon=False)
    return figure


def time_by_class(found: Sequence[tuple[str, Estimate]]) -> Figure:
    """Stacked shares of a step's time by class, a bar an estimate, the seconds above it: Fig. 4 of Chen et al. 2024."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 1.15 * len(found), 4.4), layout="constrained")
    axes = figure.add_subplot()
    for place, (_, item) in enumerate(found):
        shares = {row.name: row.share for row in item.rows}
        _stack(axes, place, {name: (shares.get(name, 0.0), COLOURS[name]) for name in CLASSES})
        axes.text(place, 1.015, _seconds(item.latency_s), ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(found)), [label for label, _ in found])
    axes.set_ylabel("share of a step's predicted time")
    axes.set_ylim(0, 1.08)
    return _finished(figure, axes)


def memory_by_batch(found: Sequence[Memory], measured: Mapping[int, float], capacity: float) -> Figure:
    """Stacked peak memory, a bar a batch: Fig. 5 of Chen et al. 2024.

    Args:
        found: of each batch.
        measured: bytes by batch, drawn as crosses.
        capacity: bytes of the device, a line.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 1.15 * len(found), 4.4), layout="constrained")
    axes = figure.add_subplot()
    for place, item in enumerate(found):
        sizes = {label: (getattr(item, key) / 1e9, colour) for key, (label, colour) in _MEMORY.items()}
        _stack(axes, place, sizes)
        top = max(item.total, measured.get(item.images, 0.0)) / 1e9 + capacity / 8e10
        axes.text(place, top, f"{item.total / 1e9:.1f}", ha="center", va="bottom", fontsize=9)
    places = [place for place, item in enumerate(found) if item.images in measured]
    crosses = [measured[found[place].images] / 1e9 for place in places]
    axes.plot(places, crosses, "x", color="black", markersize=9, markeredgewidth=2, label="measured (paper)", zorder=4)
    axes.axhline(capacity / 1e9, color=_INK, linestyle="--", linewidth=1)
    axes.text(-0.45, capacity / 1e9, "memory of the device", va="bottom", fontsize=9)
    axes.set_ylim(0, max(capacity / 1e9, *(item.total / 1e9 for item in found)) * 1.08)
    axes.set_xticks(range(len(found)), [str(item.images) for item in found])
    axes.set_xlabel("images in a batch")
    axes.set_ylabel("peak memory, GB")
    return _finished(figure, axes)


def _roof(axes: Axes, item: Estimate) -> None:
    rows = [row for row in item.by("layer") if row.flops and row.seconds and row.bytes]
    for kind in CLASSES:
        chosen = [row for row in rows if row.kind == kind]
        if chosen:
            _dots(axes, kind, chosen)
    bandwidth, low, high = item.device.bandwidth.value, 0.05, 2e4
    used = {timed.work.compute for timed in item.timed if timed.work.compute}
    for name in sorted(used, key=lambda key: item.device.peaks[key].dense.value):
        peak = item.device.peaks[name].dense.value
        ridge = peak / bandwidth
        style = "--" if name in VECTOR else "-"
        axes.plot(
            [low, ridge, high], [low * bandwidth / 1e12, peak / 1e12, peak / 1e12], style, color=_INK, linewidth=1
        )
        axes.text(high, peak / 1e12, f"{name} ", ha="right", va="bottom", fontsize=8)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    for axis in (axes.xaxis, axes.yaxis):  # not in mathematical text, which labels do not parse
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_title(f"{item.device.name}, batch {item.images}, {item.level}", fontsize=9.5)


def _dots(axes: Axes, kind: str, rows: Sequence[Row]) -> None:
    intensity = [row.flops / row.bytes for row in rows]
    rate = [row.flops / row.seconds / 1e12 for row in rows]
    axes.plot(
        intensity,
        rate,
        _MARKERS[kind],
        color=COLOURS[kind],
        markersize=3.5,
        alpha=0.6,
        markeredgewidth=0,
        label=kind,
    )


def _stack(axes: Axes, place: int, parts: Mapping[str, tuple[float, str]]) -> None:
    bottom = 0.0
    for label, (height, colour) in parts.items():
        if height > 0:
            axes.bar(place, height, 0.62, bottom, color=colour, label=label, edgecolor="white", linewidth=0.6)
            bottom += height


def _finished(figure: Figure, axes: Axes) -> Figure:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="x", visible=False)
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    order = [name for name in (*CLASSES, *(label for label, _ in _MEMORY.values())) if name in once]
    order += [name for name in once if name not in order]
    figure.legend([once[name] for name in order][::-1], order[::-1], loc="outside right upper", frameon=False)
    return figure


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"
