"""The summary: the right numbers in the right places, and readable special values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from fpsim.report.summary import final_latent_sqnr_db, mean_layer_sqnr_db, number, summary_rows

MakeRun = Callable[..., dict[str, Any]]


def test_one_line_for_full_precision_and_one_a_row(make_run: MakeRun) -> None:
    run = make_run(["e4m3/e4m3", "int8/int8"])
    for index, sqnr in enumerate([20.0, 30.0, 40.0, 50.0, 61.5]):
        run["rows"][0]["layers"][index]["output_sqnr_db"] = sqnr
    header, rows = summary_rows(run)
    assert header == ["quantization", "PSNR dB", "SSIM", "final latent SQNR dB", "mean layer SQNR dB", "model MB"]
    assert rows[0] == ["full precision", "-", "-", "-", "-", "10.94"]
    assert rows[1] == ["e4m3/e4m3", "31.5", "0.980", "30.7", "40.3", "2.74"]
    assert rows[2][:3] == ["int8/int8", "27.5", "0.930"]
    assert {len(row) for row in rows} == {len(header)}


def test_exact_layers_do_not_make_the_mean_infinite() -> None:
    assert mean_layer_sqnr_db([{"output_sqnr_db": x} for x in (30.0, math.inf, 20.0, None)]) == 25.0
    assert mean_layer_sqnr_db([{"output_sqnr_db": math.inf}]) == math.inf
    assert mean_layer_sqnr_db([{"output_sqnr_db": x} for x in (30.0, -math.inf)]) == -math.inf
    assert math.isnan(mean_layer_sqnr_db([{"output_sqnr_db": x} for x in (30.0, math.nan)]) or 0.0)
    assert mean_layer_sqnr_db([{}, {"output_sqnr_db": None}]) is None
    assert mean_layer_sqnr_db([]) is None


def test_identical_images_and_missing_values(make_run: MakeRun) -> None:
    run = make_run(["fp32/fp32"])
    run["rows"][0] |= {"psnr_db": {"mean": math.inf, "per_image": []}, "timesteps": [], "layers": []}
    assert summary_rows(run)[1][1][1:5] == ["inf", "0.980", "-", "-"]
    assert final_latent_sqnr_db(run["rows"][0]) is None


def test_a_run_without_rows_has_no_size(make_run: MakeRun) -> None:
    assert summary_rows(make_run([]))[1] == [["full precision", "-", "-", "-", "-", "-"]]


@pytest.mark.parametrize(
    ("value", "text"), [(1.25, "1.2"), (-math.inf, "-inf"), (math.nan, "nan"), (None, "-"), (7, "7.0")]
)
def test_numbers_as_text(value: float | None, text: str) -> None:
    assert number(value) == text
