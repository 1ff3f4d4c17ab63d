"""Experiments run to their end on a CPU with ``--smoke``, in an empty folder; the tables have a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiment_scripts import run

#: script with its arguments -> what it must print
SCRIPTS = {
    "convert_inception.py": "376 tensors",
    "convert_lpips.py": "2,470,848 numbers",
    "fid_cifar10.py": "FID-infinity",
    "train_reference_unet.py fashion-28": '"held_out_loss"',
    "train_reference_unet.py cifar10-32": '"held_out_loss"',
    "batch_size_effect.py": "full precision",
    "bins_methods.py --methods rtn": "+",
    "learned_rounding_layers.py --iterations 2": "unseen inputs: ",
    "accumulator_effect.py": "Verdict",
    "cost_validation.py": "targets",
    "sd15_forward.py": "peak memory",
}


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
