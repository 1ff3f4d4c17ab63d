"""Figures of costs as files, the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fpsim.cost.result import Estimate
from fpsim.errors import FpsimError
from fpsim.report import plots
from fpsim.report.cost_charts import roofline
from fpsim.report.files import require, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_roofline(found: Sequence[Estimate], path: Path) -> None:
    """Write the rooflines of estimates, a panel each.

    Args:
        found: any number.
        path: ends in ``.png`` or ``.svg``.

    Raises:
        FpsimError: matplotlib is missing, or the suffix is another.
    """
    write(lambda: roofline(found), path)


def write(draw: Callable[[], Figure], path: Path, *, dpi: int = 110) -> None:
    """Write a figure that is drawn in the look of all the others.

    Args:
        draw: makes the figure.
        path: ends in ``.png`` or ``.svg``.
        dpi: of a PNG.

    Raises:
        FpsimError: matplotlib is missing, or the suffix is another.
    """
    require("matplotlib")
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("png", "svg"):
        raise FpsimError(f"{path}: a plot is written as .png or .svg")
    buffer = io.BytesIO()
    with plots.plot_style():
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        draw().savefig(buffer, format=kind, dpi=dpi, metadata=metadata, facecolor="white")
    write_atomically(path, buffer.getvalue())
