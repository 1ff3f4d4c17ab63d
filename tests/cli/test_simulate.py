"""``fpsim simulate``: what a run writes and prints, and that it does so again; every kind of model."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from simulate_checks import PAIRS, images, record, results, simulate

from fpsim.cli.main import run


def test_what_a_run_writes(whole: Path) -> None:
    assert set(results(whole)) == {
        "full-precision.npz", "e4m3_int8.npz", "int4_uint8.npz", "run.json", "sheet.png", "report.html",
    }  # fmt: skip
    assert images("e4m3_int8", whole).shape == (3, 16, 16, 3)
    with Image.open(whole / "sheet.png") as sheet:
        assert min(sheet.size) > 48
    page = (whole / "report.html").read_text()
    assert "e4m3/int8" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not [file for file in whole.rglob("*") if file.name.startswith(".") or file.name.endswith(".partial")]


def test_what_a_run_prints(model: Path, whole: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(whole, "run")
    assert simulate(model, *PAIRS) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0].split()[:4] == ["quantization", "PSNR", "dB", "SSIM"]
    assert [line.split("  ")[0] for line in lines[1:4]] == ["full precision", "e4m3/int8", "int4/uint8"]
    assert lines[-2:] == ["report: run/report.html", "sheet:  run/sheet.png"]
    header = printed.err.splitlines()
    assert header[0] == "# tiny-16: UNet2DModel, 45,259 parameters"
    assert header[1] == (
        "# e4m3/int8  weights: e4m3 (bias 7, fn, max 448), per channel, max scale  "
        "activations: int8 (-127 to 127), per tensor, max scale, static"
    )


def test_two_runs_give_identical_bytes(model: Path, whole: Path, here: Path) -> None:
    assert simulate(model, *PAIRS) == 0
    assert results(here / "run") == results(whole)


def test_the_recorded_command_repeats_the_run(model: Path, whole: Path, here: Path) -> None:
    words = shlex.split(record(whole)["command"])
    assert words[0] == "fpsim"
    assert run(words[1:]) == 0
    assert results(here / "run") == results(whole)


def test_weights_and_acts_are_a_pair(model: Path, whole: Path, here: Path) -> None:
    assert simulate(model, "--weights", "e4m3", "--acts", "int8") == 0
    assert record()["rows"] == record(whole)["rows"][:1]


def test_a_latent_model(tiny: Any, here: Path) -> None:
    assert simulate(tiny("ldm"), "--quant", "e4m3/e4m3", "--quant", "int4/int8") == 0
    fine, coarse = record()["rows"]
    assert record()["model"]["kind"] == "latent-unconditional"
    assert images("e4m3_e4m3").shape == (3, 16, 16, 3)
    assert fine["timesteps"][1]["latent_sqnr_db"] > coarse["timesteps"][1]["latent_sqnr_db"]


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_text_to_image(kind: str, tiny: Any, here: Path, sampled: list[Any]) -> None:
    Path("prompts.txt").write_text("a red dog\n\n  a blue cat  \n")
    words = ["--quant", "e4m3/int8", "--prompts", "prompts.txt", "--guidance-scale", "3.0"]
    assert simulate(tiny(kind), *words) == 0
    found = record()
    assert found["sampling"]["prompts"] == ["a red dog", "a blue cat"]
    assert found["sampling"]["guidance_scale"] == 3
    (row,) = found["rows"]
    assert row["timesteps"][0]["latent_sqnr_db"] == float("inf")
    assert all(10 < step["output_sqnr_db"] < 100 for step in row["timesteps"])
    assert any(".attn2.to_k" in layer["name"] for layer in row["layers"])
    assert all(layer["output_sqnr_db"] is not None for layer in row["layers"])
    before = results(here / "run")
    sampled.clear()
    assert simulate(tiny(kind), *words) == 0
    assert sampled == []
    assert results(here / "run") == before
    assert simulate(tiny(kind), *words[:4], out="default") == 0  # the pipeline's own guidance
    assert not np.array_equal(images("full-precision"), images("full-precision", "default"))
