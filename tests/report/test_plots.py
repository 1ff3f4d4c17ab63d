"""Figures: what they show, equal bytes, users' text as text, nothing left behind in matplotlib."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.report import charts
from fpsim.report.plots import PLOTS, plot_svg, write_plot

MakeRun = Callable[..., dict[str, Any]]
HOSTILE = '<script>alert(1)</script> $x_{$ id="q" #3a3d42 &amp; \u0007 模型'


@pytest.mark.parametrize("name", PLOTS)
def test_figures_are_deterministic_and_self_contained(name: str, make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(["e4m3/e4m3", "int8/int8", "e2m1/e4m3"])
    svg = plot_svg(name, run)
    assert svg == plot_svg(name, run)
    assert "http" not in svg
    assert "xmlns" not in svg
    assert re.fullmatch(r'<svg viewBox="[\d. ]+" role="img">.*</svg>\s*', svg, flags=re.DOTALL)
    ElementTree.fromstring(svg)
    for suffix in ("png", "svg"):
        for file in ("a", "b"):
            write_plot(name, run, tmp_path / f"{file}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("name", PLOTS)
def test_ids_of_two_figures_differ_and_all_links_lead_somewhere(name: str, make_run: MakeRun) -> None:
    svg = plot_svg(name, make_run(["a/b", "c/d"]))
    ids = re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert all(identifier.startswith(f"{name}-") for identifier in ids)
    links = re.findall(r'(?:href="|url\()#([^")]*)', svg)
    assert links
    assert set(links) <= set(ids)


@pytest.mark.parametrize("name", PLOTS)
def test_labels_are_text_and_not_markup(name: str, make_run: MakeRun) -> None:
    svg = plot_svg(name, make_run([HOSTILE, "_hidden"]))
    assert "<script" not in svg
    text = "".join("".join(ElementTree.fromstring(svg).itertext()).split())
    # Labels are wrapped, so compare without white space; the control character became a space.
    for label in (HOSTILE.replace("\u0007", ""), "_hidden"):
        assert "".join(label.split()) in text


def test_the_lines_are_the_latent_errors(make_run: MakeRun) -> None:
    run = make_run(["e4m3/e4m3", "int8/int8"])
    run["rows"][1]["timesteps"][7]["latent_sqnr_db"] = math.inf
    lines = charts.error_per_timestep(run).axes[0].lines
    assert len(lines) == 2
    assert list(lines[0].get_ydata()) == [at["latent_sqnr_db"] for at in run["rows"][0]["timesteps"]]
    assert [int(i) for i in np.flatnonzero(np.isnan(np.asarray(lines[1].get_ydata(), float)))] == [7]


def test_layers_stand_in_execution_order_at_the_same_height_in_every_row(make_run: MakeRun) -> None:
    run = make_run(["e4m3/e4m3", "int8/int8"])
    names = [layer["name"] for layer in run["rows"][0]["layers"]]
    del run["rows"][1]["layers"][1]
    axes = charts.error_per_layer(run).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert list(axes.lines[1].get_ydata()) == [0, 2, 3, 4]
    assert list(axes.lines[1].get_xdata()) == [layer["output_sqnr_db"] for layer in run["rows"][1]["layers"]]
    assert axes.yaxis_inverted()


def test_sparsity_is_in_percent_with_its_median(make_run: MakeRun) -> None:
    run = make_run(["e2m1/e4m3"])
    for place, layer in enumerate(run["rows"][0]["layers"]):
        layer["weight_sparsity"] = 0.1 * place
    axes = charts.sparsity_per_row(run).axes[0]
    assert list(axes.lines[0].get_xdata()) == pytest.approx([0, 10, 20, 30, 40])
    assert [text.get_text() for text in axes.texts] == ["median 20.0 %, most 40.0 %"]


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, None])
def test_values_without_a_place_are_named(name: str, value: float | None, make_run: MakeRun) -> None:
    run = make_run(["e4m3/e4m3"])
    for at in run["rows"][0]["timesteps"]:
        at["latent_sqnr_db"] = value
    for layer in run["rows"][0]["layers"]:
        layer |= {"output_sqnr_db": value, "weight_sparsity": value}
    text = "".join(ElementTree.fromstring(plot_svg(name, run)).itertext())
    assert "no finite value to draw" in text
    assert name == "sparsity" or "e4m3/e4m3 (no finite value)" in text


@pytest.mark.parametrize("name", PLOTS)
def test_no_rows_no_layers_and_many_rows_can_be_drawn(name: str, make_run: MakeRun) -> None:
    assert "no finite value to draw" in plot_svg(name, make_run([]))
    assert "no finite value to draw" in plot_svg(name, make_run(["a"], names=[]) | {"rows": []})
    svg = plot_svg(name, make_run([f"format-{index}" for index in range(30)]))
    assert all(f"format-{index}<" in svg for index in range(30))


def test_settings_of_the_process_stay_and_do_not_matter(make_run: MakeRun) -> None:
    run = make_run(["e4m3/e4m3"])
    svg = plot_svg("layers", run)
    with matplotlib.rc_context({"font.size": 30, "axes.linewidth": 5, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        assert plot_svg("layers", run) == svg
        assert dict(matplotlib.rcParams) == before


def test_drawing_neither_needs_nor_loads_pyplot() -> None:
    code = (
        "import sys; from fpsim.report import plots, sheet, html, summary; assert 'matplotlib' not in sys.modules;"
        "assert 'PIL' not in sys.modules; plots.plot_svg('layers', {'rows': []});"
        "assert 'matplotlib.pyplot' not in sys.modules; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bad_names_are_one_line(make_run: MakeRun, tmp_path: Path) -> None:
    with pytest.raises(FpsimError, match="choose one of timesteps, layers, sparsity"):
        plot_svg("histogram", make_run([]))
    with pytest.raises(FpsimError, match=r"\.png or \.svg"):
        write_plot("layers", make_run([]), tmp_path / "a.pdf")
