"""Round to nearest: scales from the data, no learning; the baseline of every paper."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from fpsim.errors import FpsimError
from fpsim.methods.job import Job
from fpsim.model.attach import Handle, quantize_
from fpsim.model.split import find_splits
from fpsim.quant.policy import Policy

#: Quantizes activations by bins of the timestep, where a policy has them.
TIMESTEP_BINS = True


def settings(given: Mapping[str, Any], _kind: str, _steps: int) -> dict[str, Any]:
    """Return the only setting, where it is given: which layers are split.

    Raises:
        FpsimError: an option of learned rounding.
    """
    learning = [option for option in given if option != "split"]
    if learning:
        option = learning[0].replace("_", "-")
        raise FpsimError(
            f"--{option} is for methods that learn: --method rtn rounds to nearest; choose --method chen2024"
        )
    return {key: given[key] for key in ("split",) if key in given}


def check(model: nn.Module, _policy: Policy, settings: Mapping[str, Any], *, static: bool) -> None:
    """Refuse a model that cannot be split.

    Raises:
        FpsimError: as :func:`fpsim.model.split.find_splits`.
    """
    find_splits(model, settings.get("split", "none"))


def attach(job: Job) -> Handle:
    """Quantize a model's denoiser: weights first, then activations with scales from the full-precision samples.

    Raises:
        FpsimError: as :func:`fpsim.model.attach.quantize_`.
    """
    model = job.model.denoiser
    split = find_splits(model, job.settings.get("split", "none"))
    return quantize_(model, job.policy, job.samples, backend=job.backend, strict=job.strict, split=split)
