"""Bits a weight against PSNR: every measure's policies and the uniform formats."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from mixed_rows import Row, of
from mixed_settings import FAMILIES

# Okabe and Ito's colours: distinct for every kind of colour vision.
STYLES = {
    "sensitivity": ("#000000", "v", "-"),
    "output-mse": ("#0072B2", "o", "-"),
    "sqnr": ("#56B4E9", "s", "--"),
    "fisher": ("#009E73", "D", "-"),
    "mse": ("#E69F00", "^", "--"),
    "orm-error": ("#CC79A7", "P", "--"),
    "orm": ("#D55E00", "X", "-"),
    "random": ("#999999", "*", ":"),
}
INK = "#3a3d42"


def draw(found: list[Row], path: Path, title: str) -> None:
    """Write the picture."""
    with mpl.rc_context(mpl.rcParamsDefault | {"font.size": 9, "axes.edgecolor": INK, "axes.labelcolor": INK}):
        figure = Figure(figsize=(11, 4.8), layout="constrained")
        panels: Any = figure.subplots(1, 2, sharey=True, sharex=True)
        for panel, family in zip(panels, ("formats", "widths"), strict=True):
            _panel(panel, found, family)
            panel.set_title(f"{family}: {', '.join(FAMILIES[family])}", fontsize=9)
            panel.set_xlabel("bits a weight, scales counted")
        panels[0].set_ylabel("PSNR against full precision, dB (mean and range)")
        panels[0].legend(frameon=False, fontsize=8, loc="lower right", ncols=2)
        figure.suptitle(title, fontsize=10)
        figure.savefig(path, dpi=110)


def _panel(panel: Any, found: list[Row], family: str) -> None:
    for name, (colour, marker, line) in STYLES.items():
        here = sorted((row for row in of(found, family) if row.point.name == name), key=lambda row: row.bits)
        if here:
            _series(panel, here, color=colour, marker=marker, linestyle=line, label=name, markersize=5, linewidth=1.2)
    for label, integer, marker in (("uniform INT", True, "s"), ("uniform FP", False, "o")):
        here = [row for row in of(found, "uniform") if row.point.name.startswith("int") == integer]
        style = {"markerfacecolor": "none", "markersize": 8, "linestyle": "none"}
        _series(panel, here, color=INK, marker=marker, label=label, **style)
        ends = [row for row in of(found, "ends") if row.point.name.startswith("int") == integer]
        _series(panel, ends, color=INK, marker=marker, label=f"{label}, ends int8", markersize=5, linestyle="none")
        for row in here:
            right = integer or row.point.granularity != "channel"
            where: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7, "ha": "left" if right else "right"}
            panel.annotate(row.point.label, (row.bits, row.level), (7, -9) if right else (-7, -9), **where)
    panel.margins(x=0.08)
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)


def _series(panel: Any, here: list[Row], **style: Any) -> None:
    levels = [statistics.mean(row.psnr) for row in here]
    below = [level - min(row.psnr) for level, row in zip(levels, here, strict=True)]
    above = [max(row.psnr) - level for level, row in zip(levels, here, strict=True)]
    panel.errorbar([row.bits for row in here], levels, yerr=[below, above], capsize=2, elinewidth=0.8, **style)
