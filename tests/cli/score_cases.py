"""Runs, networks and commands for the tests of ``fpsim score``."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.cli.main import run

COUNT = 40


def images(seed: int, low: int = 0, count: int = COUNT, size: int = 12) -> NDArray[np.uint8]:
    """Smooth random images: each channel a random level with some noise."""
    rng = np.random.default_rng(seed)
    level = rng.integers(low, 200, (count, 1, 1, 3))
    return np.asarray(np.clip(level + rng.integers(-20, 20, (count, size, size, 3)), 0, 255), dtype=np.uint8)


def make_run(folder: Path, seed: int = 0, **sampling: Any) -> Path:
    """A run of one quantized row, as far as its folder tells."""
    (folder / "images").mkdir(parents=True)
    reference = images(seed)
    noisy = np.clip(reference.astype(int) + np.random.default_rng(99).integers(-6, 7, reference.shape), 0, 255)
    np.savez(folder / "images" / "full-precision.npz", arr_0=reference)
    np.savez(folder / "images" / "int8_int8.npz", arr_0=noisy.astype(np.uint8))
    record = {
        "model": {"name": "tiny", "sha256": "m"},
        "sampling": {"seed": seed, "steps": 5, "scheduler": "DDIMScheduler", "batch_size": 8, **sampling},
        "reference": {"label": "full precision", "images": "images/full-precision.npz"},
        "rows": [{"label": "int8/int8", "images": "images/int8_int8.npz"}],
    }
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def make_network(path: Path) -> Path:
    """A TorchScript file: means over a 2 x 2 grid as 12 features, and the grid as maps."""
    import torch

    class Grid(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            grid = torch.nn.functional.adaptive_avg_pool2d(x, 2)
            return grid.flatten(1), grid

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Grid(), torch.zeros(1, 3, 12, 12)).save(str(path))
    return path


def score(*words: str) -> int:
    """Run the verb; networks here take images as they are."""
    return run(["score", *words])
