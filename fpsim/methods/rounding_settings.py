"""The options of methods that learn rounding, as JSON values and as the core takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fpsim.errors import FpsimError
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.regularizer import Schedule

#: option on the command line without its dashes -> key of the settings
KEYS = {
    "rounding_iters": "iterations",
    "rounding_lr": "lr",
    "rounding_lambda": "lambda",
    "rounding_beta": "beta",
    "scale_aware": "scale_aware",
    "reconstruct": "reconstruct",
    "rounding_samples": "samples_per_step",
    "rounding_for": "learned_weights",
    "format_search": "format_search",
}
RECONSTRUCT = ("layer", "block")
LEARNED = ("fp4", "all")


def resolve(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a method's settings: its defaults, and what the user chose instead.

    Args:
        given: options by their names on the command line, with underscores.
        defaults: by the settings' keys; an option without one is not taken.

    Raises:
        FpsimError: an option that the method does not take, or a value that makes no sense.
    """
    settings = dict(defaults)
    for option, value in given.items():
        key = KEYS.get(option, option)
        if key not in defaults:
            raise FpsimError(f"--{option.replace('_', '-')} is no option of this method; drop it")
        settings[key] = value
    if "samples_per_step" in settings and settings["samples_per_step"] < 1:
        raise FpsimError(f"--rounding-samples {settings['samples_per_step']}: at least 1 sample a step is needed")
    for key, known in (("reconstruct", RECONSTRUCT), ("learned_weights", LEARNED)):
        if key in settings and settings[key] not in known:
            raise FpsimError(f"{key} {settings[key]!r} is not one of {', '.join(known)}")
    options(settings)
    return settings


def options(settings: Mapping[str, Any]) -> RoundingOptions:
    """Return the settings as the core takes them.

    Raises:
        FpsimError: a value that makes no sense.
    """
    first, last = beta(settings["beta"])
    schedule = Schedule(weight=settings["lambda"], beta_start=first, beta_end=last, warmup=settings.get("warmup", 0.2))
    return RoundingOptions(
        iterations=settings["iterations"],
        lr=settings["lr"],
        schedule=schedule,
        kind=settings["parametrization"],
        scale_aware=settings["scale_aware"],
        reduction=settings["reduction"],
        polish=settings["polish"],
        batch_size=settings["batch_size"],
    )


def beta(text: str) -> tuple[float, float]:
    """Return the first and the last exponent of ``20`` (constant) or ``20:2`` (falling linearly).

    Raises:
        FpsimError: another text.

    >>> beta("20:2"), beta("20")
    ((20.0, 2.0), (20.0, 20.0))
    """
    parts = text.split(":")
    numbers = [float(part) for part in parts if re.fullmatch(r"\d+(\.\d+)?", part)]
    if len(numbers) != len(parts) or len(parts) > 2 or not all(map(math.isfinite, numbers)):
        raise FpsimError(f"--rounding-beta {text!r} is no exponent such as 20, and no pair such as 20:2")
    return numbers[0], numbers[-1]
