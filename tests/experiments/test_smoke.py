"""Every experiment runs to its end on a CPU with ``--smoke``, in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_training_on_real_data_needs_it(tmp_path: Path) -> None:
    done = run(tmp_path, "train_reference_unet.py", "fashion-28", "--data", "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "dataset-fashion-mnist" in done.stderr


def test_the_colour_model_needs_a_cuda_device(tmp_path: Path) -> None:
    done = run(tmp_path, "train_reference_unet.py", "cifar10-32", "--data", ".")
    assert done.returncode == 1
    assert "needs a CUDA device" in done.stderr
