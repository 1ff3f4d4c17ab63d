"""Trajectories: put together, written, read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.sample.npz import write_npz
from fpsim.sample.observe import StepRecord
from fpsim.sample.trajectory import Trajectory, load, record


def steps(count: int) -> list[StepRecord]:
    random = np.random.default_rng(0)
    shape = (2, 1, 4, 4)
    return [
        StepRecord(
            step=i,
            t=999.5 - i,
            latents=random.standard_normal(shape, dtype=np.float32),
            output=random.standard_normal(shape, dtype=np.float32),
        )
        for i in range(count)
    ]


def test_records_become_arrays_in_order() -> None:
    records = steps(3)
    trajectory = record(records)
    assert trajectory.timesteps.tolist() == [999.5, 998.5, 997.5]
    assert trajectory.latents.shape == trajectory.outputs.shape == (3, 2, 1, 4, 4)
    assert all(np.array_equal(trajectory.latents[i], records[i].latents) for i in range(3))
    assert all(np.array_equal(trajectory.outputs[i], records[i].output) for i in range(3))


def test_no_record_is_an_error() -> None:
    with pytest.raises(FpsimError, match="no step records"):
        record([])


def test_file_round_trip(tmp_path: Path) -> None:
    written = record(steps(3))
    written.save(tmp_path / "a.npz")
    written.save(tmp_path / "b.npz")
    read = load(tmp_path / "a.npz")
    for name, array in written.arrays().items():
        assert np.array_equal(getattr(read, name), array)
        assert getattr(read, name).dtype == np.float32
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_files_that_are_no_trajectory(tmp_path: Path) -> None:
    write_npz(tmp_path / "images.npz", {"arr_0": np.zeros(3)})
    with pytest.raises(FpsimError, match="holds no trajectory"):
        load(tmp_path / "images.npz")
    with pytest.raises(FpsimError, match="cannot be read as npz"):
        load(tmp_path / "missing.npz")


def test_pickles_are_refused(tmp_path: Path) -> None:
    arrays = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickled.npz", timesteps=arrays, latents=arrays, outputs=arrays)
    with pytest.raises(FpsimError, match="cannot be read as npz"):
        load(tmp_path / "pickled.npz")
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        Trajectory(timesteps=arrays, latents=arrays, outputs=arrays).save(tmp_path / "new.npz")
    assert not (tmp_path / "new.npz").exists()
