"""What the tests of Chen et al. 2024 share."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from simulation_checks import SPEC, quiet

from fpsim import Policy
from fpsim.methods import chen2024
from fpsim.methods.calibration import calibrate
from fpsim.methods.job import Job
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits

POLICY = Policy.uniform("e2m1", "e4m3", weights_granularity="tensor")


def static_job(model: LoadedModel, folder: Path, policy: Policy = POLICY, **options: Any) -> Job:
    """A job with static activation scales, calibrated on one image."""
    settings = chen2024.settings(options, model.kind, SPEC.steps)
    splits = find_splits(model.denoiser, settings["split"])
    found = calibrate(model, SPEC, 1, folder / "calibration", lambda *_: None, splits)
    return Job(
        model=model, policy=policy, samples=found.samples, spec=SPEC, settings=settings, folder=folder, label="fp4/fp8",
        progress=quiet,
    )  # fmt: skip


class Stop(BaseException):
    """Stands for Ctrl-C."""


def stop_after(patch: pytest.MonkeyPatch, place: ModuleType, name: str, count: int) -> None:
    """Let a module's function do its work so many times and then stop the run."""
    original, calls = getattr(place, name), iter(range(count))

    def counted(*args: Any) -> Any:
        if next(calls, None) is None:
            raise Stop
        return original(*args)

    patch.setattr(place, name, counted)
