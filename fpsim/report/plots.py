"""The figures of a run as SVG text or files, the same bytes every time, on nobody's global state."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpsim.errors import FpsimError
from fpsim.report import charts
from fpsim.report.files import require, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Every figure by name: error against the sampling step, error by layer, zeros among the weights.
PLOTS: Mapping[str, Callable[[Mapping[str, Any]], Figure]] = {
    "timesteps": charts.error_per_timestep,
    "layers": charts.error_per_layer,
    "sparsity": charts.sparsity_per_row,
}

_INK = "#3a3d42"
_STYLE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.facecolor": "none",
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.grid": True,
    "grid.color": "#808080",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    # Labels are users' text, not formulas; browsers draw them with fonts of their own.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fpsim",
}


def plot_svg(name: str, run: Mapping[str, Any]) -> str:
    """One figure as an ``<svg>`` element to be put into an HTML page.

    Text takes the page's colour and no background is drawn, so that it reads in a light and in a dark page;
    ids begin with the figure's name, so that several fit into one page.

    Args:
        name: a key of :data:`PLOTS`.
        run: the contents of ``run.json``.

    Returns:
        The element, without namespaces, metadata or links; equal for equal runs.

    Raises:
        FpsimError: matplotlib is missing, or the name is unknown.
    """
    text = _render(name, run, "svg").decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    # Tags only: between them stands users' text, in which "<" and ">" are escaped.
    rest = re.sub(r"<[^>]+>", lambda tag: _for_page(tag.group(), name), rest)
    return f'<svg {view.group() if view else ""} role="img">{rest.strip()}'


def write_plot(name: str, run: Mapping[str, Any], path: Path) -> None:
    """One figure as a file.

    Args:
        name: a key of :data:`PLOTS`.
        run: the contents of ``run.json``.
        path: ends in ``.png`` or ``.svg``.

    Raises:
        FpsimError: matplotlib is missing, or the name or the suffix is unknown.
    """
    kind = Path(path).suffix.removeprefix(".").lower()
    if kind not in ("png", "svg"):
        raise FpsimError(f"{path}: a plot is written as .png or .svg")
    write_atomically(Path(path), _render(name, run, kind))


def _for_page(tag: str, name: str) -> str:
    tag = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{name}-", tag)
    return tag.replace(" xlink:href=", " href=").replace(_INK, "currentColor")


def _render(name: str, run: Mapping[str, Any], kind: str) -> bytes:
    require("matplotlib")
    if name not in PLOTS:
        raise FpsimError(f"no plot is called {name!r}: choose one of {', '.join(PLOTS)}")
    buffer = io.BytesIO()
    with plot_style():
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        background = "white" if kind == "png" else "none"
        PLOTS[name](run).savefig(buffer, format=kind, dpi=160, metadata=metadata, facecolor=background)
    return buffer.getvalue()


@contextmanager
def plot_style() -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever a user's matplotlibrc says, and back."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A label may hold characters that the measuring font lacks; the reader's browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield
