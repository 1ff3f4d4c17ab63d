"""The figure of an allocation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fpsim.errors import FpsimError
from fpsim.report.allocation_charts import allocation_figure
from fpsim.report.allocation_plot import write_allocation_plot


def shown(*, bins: int = 1, acts: bool = True, front: bool = True, name: str = "conv_in") -> dict[str, Any]:
    """A document of two layers, as ``fpsim allocate --json`` prints it."""
    inputs = (["int4"] + ["e4m3"] * (bins - 1), [4] + [8] * (bins - 1)) if acts else (["none"], [32])
    rows = [
        {"layer": name, "weights": "int4", "weight_bits": 4, "acts": inputs[0], "act_bits": inputs[1]},
        {"layer": "conv_out", "weights": "int8", "weight_bits": 8, "acts": inputs[0], "act_bits": inputs[1]},
    ]
    points = [{"limit": x, "used": x, "harm": 10.0 ** (3 - x), "bits_per_weight": 2.0 * x} for x in (1, 2, 3)]
    return {
        "allocation": {
            "unit": "x",
            "harm": 1.0,
            "bits_per_weight": 6.0,
            "bins": [f"{i} to {i + 1}" for i in range(bins)],
        },
        "budgets": [{"name": "weights", "unit": "bytes", "used": 3}],
        "layers": rows,
        "front": points if front else [],
    }


def test_what_is_drawn() -> None:
    """A bar a layer as long as its bits, marks at the bits of the inputs, the front, and the chosen point."""
    figure = allocation_figure(shown())
    front, bars = figure.subfigs[0].axes[0], figure.subfigs[1].axes[0]
    assert [patch.get_width() for patch in bars.patches] == [4, 8]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["conv_in", "conv_out"]
    assert bars.yaxis_inverted()
    line, point = front.lines
    assert list(line.get_xdata()) == [2, 4, 6]
    assert list(line.get_ydata()) == [100, 10, 1]
    assert (list(point.get_xdata()), list(point.get_ydata())) == ([6], [1])
    assert front.get_yscale() == "log"
    legend = [text.get_text() for text in figure.subfigs[1].legends[0].get_texts()]
    assert sorted(legend) == ["input int4", "int4", "int8"]


def test_bits_by_timestep() -> None:
    figure = allocation_figure(shown(bins=3))
    image = figure.subfigs[1].axes[1].images[0].get_array()
    assert image is not None
    assert image.tolist() == [[4, 8, 8], [4, 8, 8]]


def test_harm_below_zero_and_nothing_but_layers() -> None:
    """As bits times importance is; no front, no inputs."""
    document = shown(acts=False)
    for point in document["front"]:
        point["harm"] -= 50
    assert allocation_figure(document).subfigs[0].axes[0].get_yscale() == "linear"
    figure = allocation_figure(shown(acts=False, front=False))
    assert not figure.subfigs
    assert len(figure.axes[0].lines) == 0


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_same_bytes_every_time(kind: str, tmp_path: Path) -> None:
    document = shown(name="a$b_{c}$ <&")
    for name in ("a", "b"):
        write_allocation_plot(document, tmp_path / f"{name}.{kind}")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("a", "b"))
    assert first == second
    assert first.startswith(b"\x89PNG" if kind == "png" else b"<?xml")


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match=r"written as \.png or \.svg"):
        write_allocation_plot(shown(), tmp_path / "a.pdf")
