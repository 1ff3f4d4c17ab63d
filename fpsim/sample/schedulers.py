"""Schedulers by name, built from the model's own scheduler config."""

from __future__ import annotations

import importlib
import inspect
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from fpsim.errors import FpsimError
from fpsim.model.quiet import quiet

if TYPE_CHECKING:  # names are checked before anything heavy is imported
    import torch

NAMES = {
    "ddim": "DDIMScheduler",
    "ddpm": "DDPMScheduler",
    "deis": "DEISMultistepScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "dpm++-2s": "DPMSolverSinglestepScheduler",
    "dpm2": "KDPM2DiscreteScheduler",
    "dpm2-a": "KDPM2AncestralDiscreteScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-a": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lms": "LMSDiscreteScheduler",
    "pndm": "PNDMScheduler",
    "sa-solver": "SASolverScheduler",
    "unipc": "UniPCMultistepScheduler",
}
"""Short name to diffusers class. All draw their noise from the generators they are given, or draw none."""

# Without it diffusers changes this setting itself and warns, at every number of steps but the odd ones.
_OVERRIDES = {"DPMSolverSinglestepScheduler": {"lower_order_final": True}}


def class_name(name: str) -> str:
    """The diffusers class that a scheduler's name stands for.

    Args:
        name: A short name or the class name itself, in any case.

    Raises:
        FpsimError: The name is unknown; the message gives the nearest.

    >>> class_name("DPM++"), class_name("ddimscheduler")
    ('DPMSolverMultistepScheduler', 'DDIMScheduler')
    """
    key = name.strip().lower()
    for short, kind in NAMES.items():
        if key in (short, kind.lower()):
            return kind
    stems = {kind.lower().removesuffix("scheduler"): short for short, kind in NAMES.items()}
    close = get_close_matches(key.removesuffix("scheduler"), [*NAMES, *stems], n=1, cutoff=0.4)
    hint = f"; did you mean {stems.get(close[0], close[0])!r}?" if close else ""
    raise FpsimError(f"unknown scheduler {name!r}{hint} (known: {', '.join(sorted(NAMES))})")


def make(name: str | None, own: Any) -> Any:
    """A fresh scheduler with the noise schedule and prediction type that the model was trained with.

    Args:
        name: A name of ``class_name``, or None for the model's own class.
        own: The model's own scheduler; it is left as it is.

    Raises:
        FpsimError: The name is unknown, or the model was not trained on the betas that such a scheduler needs.
    """
    if name is None:
        return _build(type(own), own)
    wanted = class_name(name)
    if wanted != type(own).__name__ and "beta_schedule" not in own.config:
        raise FpsimError(
            f"scheduler {name!r} does not fit this model, whose {type(own).__name__} has no noise schedule of betas: "
            "leave the scheduler out to keep the model's own"
        )
    return _build(getattr(importlib.import_module("diffusers"), wanted), own)


def _build(kind: Any, own: Any) -> Any:
    with quiet():
        return kind.from_config(own.config, **_OVERRIDES.get(kind.__name__, {}))


def set_steps(scheduler: Any, steps: int, device: torch.device | str = "cpu") -> None:
    """Set a scheduler's timesteps.

    Raises:
        FpsimError: The scheduler cannot take this number of steps for the schedule it has.
    """
    kind = type(scheduler).__name__
    trained = scheduler.config.get("num_train_timesteps")
    if trained is not None and steps > trained:
        raise FpsimError(
            f"{steps} steps are more than the {trained} timesteps that the model was trained on: take fewer"
        )
    if kind == "PNDMScheduler" and not scheduler.config.skip_prk_steps and steps < 4:
        raise FpsimError(f"{kind} starts with Runge-Kutta steps and needs at least 4 steps, not {steps}: take more")
    try:
        scheduler.set_timesteps(steps, device=device)
    except (ValueError, IndexError, RuntimeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise FpsimError(f"{kind} cannot take {steps} steps ({reason}): choose another number of steps") from error


def step_arguments(scheduler: Any, sources: list[torch.Generator]) -> dict[str, Any]:
    """The arguments for ``scheduler.step`` that pass on each image's own generator, where it draws noise at all."""
    accepted = inspect.signature(scheduler.step).parameters
    return {"generator": sources} if "generator" in accepted else {}
