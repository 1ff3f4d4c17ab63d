"""The figure of an allocation as a file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpsim.errors import FpsimError
from fpsim.report import plots
from fpsim.report.allocation_charts import allocation_figure
from fpsim.report.files import require, write_atomically


def write_allocation_plot(shown: Mapping[str, Any], path: Path) -> None:
    """Draw an allocation.

    Args:
        shown: the document of ``fpsim allocate --json``.
        path: ends in ``.png`` or ``.svg``.

    Raises:
        FpsimError: matplotlib is missing, the suffix is unknown, or the file cannot be written.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("png", "svg"):
        raise FpsimError(f"{path}: a plot is written as .png or .svg")
    require("matplotlib")
    buffer = io.BytesIO()
    metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with plots.plot_style():
        allocation_figure(shown).savefig(buffer, format=kind, dpi=160, metadata=metadata, facecolor="white")
    write_atomically(path, buffer.getvalue())
