"""Every experiment runs to its end on a CPU with ``--smoke``, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"

#: script with its arguments -> what it must print
SCRIPTS = {
    "convert_inception.py": "376 tensors",
    "convert_lpips.py": "2,470,848 numbers",
    "fid_cifar10.py": "FID-infinity",
    "train_reference_unet.py fashion-28": '"held_out_loss"',
    "train_reference_unet.py cifar10-32": '"held_out_loss"',
    "batch_size_effect.py": "full precision",
    "learned_rounding_layers.py --iterations 2": "unseen inputs: ",
    "paper_tables.py": "FP8/FP8 nearest",
    "paper_tables.py factorial": "int4 tensor nearest, e4m3",
    "paper_figures.py --out .": "full precision has ",
    "bits_sweep.py": "learned - nearest int3",
    "bits_layers.py": "taken out of the bias",
    "bits_spread.py": "channel nearest e4m3",
    "accumulator_effect.py": "Verdict",
    "cost_validation.py": "targets",
    "sd15_forward.py": "peak memory",
}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script, *rest = words
    command = [sys.executable, str(EXPERIMENTS / script), *rest]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


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


def test_training_on_real_data_needs_it(tmp_path: Path) -> None:
    done = run(tmp_path, "train_reference_unet.py", "fashion-28", "--data", "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "dataset-fashion-mnist" in done.stderr


def test_the_colour_model_needs_a_cuda_device(tmp_path: Path) -> None:
    done = run(tmp_path, "train_reference_unet.py", "cifar10-32", "--data", ".")
    assert done.returncode == 1
    assert "needs a CUDA device" in done.stderr
