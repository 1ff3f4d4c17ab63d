"""Folders and models that ``fpsim simulate`` cannot use: one line each, exit code 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from simulate_checks import ONE, SMALL, refused, simulate

WEIGHTS = "diffusion_pytorch_model.safetensors"


def broken(model: Path, how: Callable[[Path], Any]) -> Callable[[], str]:
    """A copy of the model that something is wrong with, in the working folder."""

    def build() -> str:
        how(Path(shutil.copytree(model, "broken")))
        return "broken"

    return build


def with_nan(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    tensors["mid_block.resnets.0.conv1.weight"][1, 2, 0, 0] = float("nan")
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000])


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_an_output_folder_that_is_a_file(out: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("mine")
    refused(capsys, simulate(model, *ONE, out=out), "file")
    assert Path("file").read_text() == "mine"


DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "broken has no config.json"),
    "no scheduler": (lambda folder: (folder / "scheduler_config.json").unlink(), "has no scheduler_config.json"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "has no safetensors weights"),
    "corrupt weights": (cut, f"broken/{WEIGHTS} is corrupt"),
    "NaN": (with_nan, "tensor 'mid_block.resnets.0.conv1.weight' has 1 values of"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_model(case: str, model: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how, wanted = DAMAGED[case]
    refused(capsys, simulate(broken(model, how)(), *ONE), wanted)
    assert not Path("run").exists()


def test_models_that_are_not_there(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(capsys, simulate("./nothing", *ONE), "there is no folder './nothing'")
    refused(capsys, simulate("bundle", *ONE), "unknown model 'bundle'")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(capsys, simulate("nobody/nothing", *ONE), "run 'hf download nobody/nothing'")


def test_text_to_image_needs_prompts(tiny: Any, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny("sd")
    capsys.readouterr()  # what saving the pipeline said
    refused(capsys, simulate(folder, *ONE), "a text-to-image model needs prompts")


def test_libraries_that_are_not_installed(
    model: Path, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "PIL" else found(name, *rest))
    refused(capsys, simulate(model, *ONE), "the report needs PIL, which is not installed")


def test_a_process_says_one_line(model: Path, here: Path) -> None:
    """Nothing but the error itself, also from what other libraries print while they are imported."""
    words = ["--model", "nobody/nothing", *SMALL, *ONE, "--out", "run"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(here / "hf")}
    done = subprocess.run(
        [sys.executable, "-m", "fpsim", "simulate", *words],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: nobody/nothing is not in the local Hugging Face cache")
