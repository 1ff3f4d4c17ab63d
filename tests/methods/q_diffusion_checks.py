"""Jobs that the tests of Q-Diffusion share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from simulation_checks import SPEC, quiet
from torch import Tensor

from fpsim import Policy
from fpsim.methods import q_diffusion
from fpsim.methods.job import Job
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel
from fpsim.model.split import SplitActivation

SMALL = {
    "rounding_iters": 12,
    "act_iters": 4,
    "recon_batch": 4,
    "rounding_samples": 2,
    "calibration_steps": 2,
    "rounding_lr": 0.03,
}


def job(
    model: LoadedModel,
    folder: Path,
    weights: str | None = "int3",
    acts: str | None = "int8",
    progress: Callable[[str, int, int], None] = quiet,
    policy: Policy | None = None,
    **given: Any,
) -> Job:
    """A job of Q-Diffusion with tiny settings."""
    return Job(
        model=model,
        policy=policy or Policy.uniform(weights, acts),
        samples={},
        spec=replace(SPEC, steps=4),
        settings=q_diffusion.settings({**SMALL, **given}, model.kind, 4),
        folder=folder,
        label="row",
        progress=progress,
    )


def inputs(model: LoadedModel) -> Mapping[str, Any]:
    """Arguments of the denoiser that no calibration saw."""
    source = torch.Generator().manual_seed(9)
    return {"sample": torch.randn(2, 3, 16, 16, generator=source), "timestep": torch.tensor([100, 900])}


def output(model: LoadedModel) -> Tensor:
    """What the denoiser answers."""
    with torch.no_grad():
        answer: Tensor = model.denoiser(**inputs(model)).sample
    return answer


def operands(handle: Any) -> dict[str, BinnedActivation]:
    """The operands of activations that follow the timestep, by their places."""
    found: dict[str, Any] = {
        operand.name: operand for operand in handle.others if isinstance(operand, BinnedActivation)
    }
    for name, operand in handle.acts.items():
        halves = (operand.first, operand.second) if isinstance(operand, SplitActivation) else (operand,)
        found |= {f"{name}#{i}" if len(halves) > 1 else name: half for i, half in enumerate(halves)}
    return {place: operand for place, operand in found.items() if isinstance(operand, BinnedActivation)}
