"""Errors over the sampling steps, against a plain formula."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.methods.environment import environment
from fpsim.methods.timesteps import timestep_errors
from fpsim.sample.store import BatchStore
from fpsim.sample.trajectory import Trajectory

IMAGES = np.zeros((2, 4, 4, 1), np.uint8)


def trajectory(seed: int) -> Trajectory:
    values = np.random.default_rng(seed).standard_normal((2, 3, 2, 1, 4, 4)).astype(np.float32)
    return Trajectory(timesteps=np.float32([9, 5.5, 1]), latents=values[0], outputs=values[1])


def stores(folder: Path, *seeds: tuple[int, int]) -> tuple[BatchStore, BatchStore]:
    pair = BatchStore(folder, "full"), BatchStore(folder, "ours")
    for number, batch in enumerate(seeds):
        for store, seed in zip(pair, batch, strict=True):
            store.write(number, IMAGES, trajectory(seed))
    return pair


def test_the_error_is_over_all_images_of_all_batches(tmp_path: Path) -> None:
    found = timestep_errors(*stores(tmp_path, (0, 1), (2, 3)), 2)
    assert [step["t"] for step in found] == [9, 5.5, 1]
    for kind in ("latents", "outputs"):
        exact = np.concatenate([getattr(trajectory(seed), kind) for seed in (0, 2)], axis=1).astype(np.float64)
        ours = np.concatenate([getattr(trajectory(seed), kind) for seed in (1, 3)], axis=1).astype(np.float64)
        for i, step in enumerate(found):
            wanted = 10 * np.log10(np.square(exact[i]).sum() / np.square(exact[i] - ours[i]).sum())
            assert step[f"{kind[:-1]}_sqnr_db"] == pytest.approx(wanted)


def test_no_error_is_infinite(tmp_path: Path) -> None:
    assert all(step["output_sqnr_db"] == math.inf for step in timestep_errors(*stores(tmp_path, (4, 4)), 1))


def test_a_batch_without_trajectory_is_an_error(tmp_path: Path) -> None:
    full, ours = stores(tmp_path, (0, 1))
    ours.write(0, IMAGES)
    with pytest.raises(FpsimError, match="batch 0 of 'ours' has no trajectory"):
        timestep_errors(full, ours, 1)


def test_the_environment_names_what_decides_the_last_bits() -> None:
    found = environment()
    assert {"python", "numpy", "numba", "torch", "diffusers", "threads", "machine", "cpu_capability"} <= set(found)
    assert found == environment()
