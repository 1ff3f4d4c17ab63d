"""The paper's tables and figures run to their end on a CPU with ``--smoke``, also on a local text-to-image model."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from experiment_scripts import run

#: script with its arguments -> what it must print
SCRIPTS = {
    "paper_tables.py": "FP8/FP8 nearest",
    "paper_tables.py factorial": "int4 tensor nearest, e4m3",
    "paper_figures.py --out .": "full precision has ",
    "bits_sweep.py": "learned - nearest int3",
    "bits_layers.py": "taken out of the bias",
    "bits_spread.py": "channel nearest e4m3",
}


@pytest.mark.parametrize("words", SCRIPTS)
def test_smoke(words: str, tmp_path: Path) -> None:
    done = run(tmp_path, *words.split(), "--smoke")
    assert done.returncode == 0, done.stderr
    assert SCRIPTS[words] in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("paper_tables.py", "FP8/FP8 nearest"),
        ("bits_sweep.py", "learned - nearest int3"),
    ],
)
def test_the_tables_take_a_local_text_to_image_model(words: str, said: str, stable_diffusion: Path) -> None:
    folder = stable_diffusion.parent
    (folder / "prompts.txt").write_text("a cat\n\na dog\n")
    local = ("--model", str(stable_diffusion), "--prompts", "prompts.txt", "--smoke")
    done = run(folder, *words.split(), *local)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert "CPU tier: 2 images, 2 steps" in done.stdout
    assert "(the paper: 10000 images, 50 steps" in done.stdout


def test_scores_of_a_local_model_need_no_real_images(stable_diffusion: Path) -> None:
    folder = stable_diffusion.parent
    make_network(folder / "net.pt")
    (folder / "prompts.txt").write_text("a cat\n")
    local = ("--model", str(stable_diffusion), "--prompts", "prompts.txt", "--features", "net.pt", "--smoke")
    done = run(folder, "paper_scores.py", *local)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()
    assert rows[3].split()[-1] == "recall"
    assert rows[3].count("recall") == 1
    assert [row[:9] for row in rows[4:]] == ["full prec", "INT8/INT8", "INT4/INT8", "INT3/INT8", "FP8/FP8  "]


def make_network(path: Path) -> None:
    class Grid(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Grid(), torch.zeros(1, 3, 16, 16)).save(str(path))
