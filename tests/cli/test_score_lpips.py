"""``fpsim score --lpips``: images that are too small for LPIPS are refused, or resized by a recorded rule."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from score_cases import make_run, score

from fpsim.features.lpips import SHAPES, load

ROW, FULL = "run#int8/int8", "run#full precision"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lpips") / "random.safetensors"
    torch.manual_seed(0)
    save_file(
        {name: torch.rand(shape) / max(1, int(np.prod(shape[1:]))) for name, shape in SHAPES.items()},
        path,
        metadata={"architecture": "lpips-alexnet"},
    )
    return path


@pytest.fixture
def place(here: Path) -> Path:
    """A folder with a run of 12 x 12 images."""
    make_run(here / "run")
    return here


def test_small_images_are_refused_without_a_size(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(ROW, FULL, "--metric", "lpips", "--lpips", str(weights)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "images of 12 x 12 pixels were given" in said.err
    assert "--lpips-size 64" in said.err


def test_the_resize_is_computed_recorded_and_named(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (ROW, FULL, "--metric", "lpips", "--lpips", str(weights), "--lpips-size", "40")
    assert score(*words, "--out", "scores.json") == 0
    out = capsys.readouterr().out
    assert "lpips-alexnet, resize bilinear-40" in out
    document = json.loads((place / "scores.json").read_text())
    assert document["lpips"]["resize"] == "bilinear-40"
    with np.load("run/images/int8_int8.npz") as a, np.load("run/images/full-precision.npz") as b:
        wanted = load(weights, 40)(b["arr_0"], a["arr_0"])
    assert document["scores"][0]["value"] == pytest.approx(wanted.mean())
    assert document["scores"][0]["value"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--lpips-size", "64"), "name its weights as well: --lpips FILE"),
        (("--lpips-size", "30", "--lpips", "WEIGHTS"), "give 31 to 4096"),
        (("--lpips-size", "many", "--lpips", "WEIGHTS"), "--lpips-size"),
    ],
)
def test_wrong_sizes_are_one_line(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    given = [str(weights) if word == "WEIGHTS" else word for word in words]
    assert score(ROW, FULL, "--metric", "lpips", *given) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert said in lines[0]
