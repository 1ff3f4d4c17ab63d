"""For `accumulator_effect.py`: layers against the length of their sums, steps, and images in one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]


def _points(layers: list[dict[str, Any]]) -> tuple[list[int], list[float]]:
    return [layer["k"] for layer in layers], [layer["sqnr_db"] for layer in layers]


def draw(found: dict[str, Any], path: Path) -> None:
    """Write the figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 5), width_ratios=(1.25, 1, 1))
    names = [name for name in found["layers"] if name != "quantization"]
    style = {name: {"color": COLOURS[i], "marker": MARKERS[i]} for i, name in enumerate(names)}
    for name in names:
        left.plot(*_points(found["layers"][name]), ls="", ms=5, alpha=0.75, **style[name], label=name)
    left.plot(*_points(found["layers"]["quantization"]), "x", color="#666666", label="rounding of operands")
    left.set_xscale("log", base=2)
    left.set_xlabel("length of the sums, K")
    left.set_ylabel("SQNR of the layer's output, dB")
    left.set_title("Layers, same operands, against exact sums")
    left.set_ylim(top=195)
    for name in names:
        values = [step["output_sqnr_db"] for step in found["steps_exact"][name]]
        middle.plot(np.arange(len(values)), values, ms=4, lw=1.2, **style[name], label=name)
    middle.set_xlabel("sampling step")
    middle.set_ylabel("SQNR of the denoiser's output, dB")
    middle.set_title("Sampling, against exact sums")
    rows = list(found["psnr"])
    for place, name in enumerate(rows):
        values = np.array(found["psnr"][name])
        colour = style.get(name, {"color": "#666666"})["color"]
        heights = place + np.linspace(-0.22, 0.22, len(values))
        right.plot(values, heights, ".", color=colour, alpha=0.7)
        right.plot([np.median(values)] * 2, [place - 0.32, place + 0.32], color=colour, lw=2.5)
    right.set_yticks(range(len(rows)), rows)
    right.invert_yaxis()
    right.set_xlabel("PSNR against full precision, dB; bar: median")
    right.set_title("Images")
    for axes in (left, middle, right):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*left.get_legend_handles_labels(), loc="lower center", ncols=6, fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
