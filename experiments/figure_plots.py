"""How `paper_figures.py` draws: data in, a PNG out, nothing of a user's matplotlib settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

# Okabe and Ito's colours: distinct for every kind of colour vision.
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#808080"
INK = "#3a3d42"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regularized:
    """Positions after learning, the share that is undecided, and output errors relative to nearest."""

    name: str
    h: NDArray[np.float64]
    undecided: float
    soft: float
    hard: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Zeros:
    """Shares of zeros by layer, zeros and weights in all, and the run that they come from."""

    name: str
    layers: NDArray[np.float64]
    weights: int
    count: int
    run: str

    @property
    def total(self) -> float:
        return self.count / self.weights


def draw_regularizer(found: list[Regularized], path: Path) -> None:
    """Figure 6: the regularizer against σ(α), and where it drives the positions."""
    figure, (left, right) = _panels(9.2, 3.6)
    sigma = np.linspace(0, 1, 801)
    for beta, colour, style in ((20, RED, "-"), (8, GREY, "--"), (2, GREEN, "-.")):
        left.plot(sigma, 1 - np.abs(2 * sigma - 1) ** beta, style, color=colour, label=f"exponent {beta}")
    left.set_xlabel("σ(α), position between the two neighbours")
    left.set_ylabel("regularizer λ(α)")
    left.set_title("equation 14 has the exponent 20", fontsize=9.5)
    left.legend(frameon=False, loc="lower center")
    edges = np.linspace(0, 1, 41)
    for panel, colour, style in zip(found, (BLUE, RED, GREEN), ("-", "--", "-."), strict=True):
        share = 100 * np.histogram(panel.h, bins=edges)[0] / panel.h.size
        said = f"{panel.name}:\nerror {panel.soft:.2f} soft, {panel.hard:.2f} hardened"
        right.stairs(np.maximum(share, 1e-3), edges, color=colour, linestyle=style, linewidth=1.6, label=said)
    right.set_yscale("log")
    right.set_ylim(0.02, 3000)
    right.set_xlabel("position h after learning (0: down, 1: up)")
    right.set_ylabel("% of a layer's weights, a bin of 1/40")
    right.set_title("output error relative to rounding to nearest", fontsize=9.5)
    right.legend(frameon=False, loc="upper center", fontsize=7.8)
    _save(figure, path)


def draw_zeros(rows: list[Zeros], path: Path) -> None:
    """Figure 11: the share of all weights that are zero as bars, that of each layer as dots."""
    figure = _figure(9.2, 0.9 + 0.42 * len(rows))
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    for place, row in enumerate(rows):
        colour = GREY if row.run == "–" else RED if row.name.startswith("INT") else BLUE
        axes.barh(place, 100 * row.total, height=0.62, color=colour, alpha=0.35)
        heights = place + ((np.arange(len(row.layers)) * 0.6180339887) % 1 - 0.5) * 0.5
        axes.plot(100 * row.layers, heights, "o", markersize=2.6, color=colour, alpha=0.75, markeredgewidth=0)
        text = f"{100 * row.total:.3g} %"
        axes.text(1.01, place, text, transform=axes.get_yaxis_transform(), va="center", ha="left")
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("weights that are exactly zero, %: all (bar, number), each layer (dot)")
    axes.grid(axis="y", visible=False)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    mpl.rcdefaults()
    style: dict[Any, Any] = {
        "font.size": 9.5, "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
        "ytick.color": INK, "axes.grid": True, "grid.color": GREY, "grid.alpha": 0.25, "grid.linewidth": 0.6,
        "axes.axisbelow": True, "lines.linewidth": 1.6,
    }  # fmt: skip
    mpl.rcParams.update(style)
    return Figure(figsize=(width, height), layout="constrained")


def _panels(width: float, height: float) -> tuple[Figure, Any]:
    figure = _figure(width, height)
    both = figure.subplots(1, 2)
    for axes in both:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, both


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=130, metadata={"Software": None}, facecolor="white")
