"""The calibration run: every timestep, noise of its own, kept for a resumed run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from simulation_checks import SPEC

from fpsim.errors import FpsimError
from fpsim.methods import calibration
from fpsim.model.load import LoadedModel


def test_calibration_sees_every_timestep_on_noise_of_its_own(model: LoadedModel, tmp_path: Path) -> None:
    given: list[tuple[Any, Any]] = []
    original = calibration.sample_batch

    def watched(*args: Any, **options: Any) -> Any:
        given.append(args[1:3])
        return original(*args, **options)

    calibration.sample_batch, kept = watched, calibration.sample_batch
    try:
        found = calibration.calibrate(model, SPEC, 2, tmp_path, lambda *_: None)
    finally:
        calibration.sample_batch = kept
    ((spec, indices),) = given
    assert list(indices) == [1 << 24, (1 << 24) + 1]
    assert (spec.steps, spec.seed) == (SPEC.steps, SPEC.seed)
    assert found.samples["conv_in"].calls == 3
    assert [float(torch.as_tensor(probe["timestep"])) for probe in found.probes] == [666, 333, 0]
    assert all(probe["sample"].shape == (2, 3, 16, 16) for probe in found.probes)
    again = calibration.calibrate(model, SPEC, 2, tmp_path, lambda *_: None)
    assert list(again.samples) == list(found.samples)
    for name, sample in found.samples.items():
        assert np.array_equal(again.samples[name].values, sample.values)
        assert again.samples[name].values.dtype == sample.values.dtype
    for ours, theirs in zip(again.probes, found.probes, strict=True):
        assert torch.equal(ours["sample"], theirs["sample"])
        assert ours["sample"].stride() == theirs["sample"].stride()


@pytest.mark.parametrize(
    ("calls", "places"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (9, [1, 4, 7]), (50, [8, 24, 41])]
)
def test_probes_are_spread_evenly(calls: int, places: list[int]) -> None:
    recorder = calibration._Recorder()
    recorder.calls = [{"call": i} for i in range(calls)]
    assert [probe["call"] for probe in recorder.probes()] == places


def test_probes_of_a_transformer_and_of_guidance() -> None:
    class Transformer(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, timestep: Any, extra: Any = None, **kwargs: Any) -> None:
            """Nothing."""

    recorder, x = calibration._Recorder(), torch.arange(6.0).reshape(6, 1)
    recorder(Transformer(), (x,), {"timestep": torch.tensor(3), "extra": {"ids": x, "n": 4}, "flag": False})
    (call,) = recorder.calls
    assert call["hidden_states"].tolist() == [[0], [3]]  # an image of the unconditional half, and one of the other
    assert call["extra"]["ids"].tolist() == [[0], [3]]
    assert (call["extra"]["n"], call["flag"], int(call["timestep"])) == (4, False, 3)


@pytest.mark.parametrize("file", ["samples.npz", "samples.json", "probes.json", "probes.safetensors"])
def test_a_damaged_calibration_is_named(file: str, model: LoadedModel, tmp_path: Path) -> None:
    calibration.calibrate(model, SPEC, 1, tmp_path, lambda *_: None)
    (tmp_path / file).write_bytes(b"{ broken")
    with pytest.raises(FpsimError, match="delete it and run again") as caught:
        calibration.calibrate(model, SPEC, 1, tmp_path, lambda *_: None)
    assert "\n" not in str(caught.value)
