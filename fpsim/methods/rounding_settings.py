"""The options of methods that learn rounding, as JSON values and as the core takes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from fpsim.errors import FpsimError
from fpsim.methods.format_search import CAPTURED
from fpsim.model.split import MODES
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
#: Words that settings may have, by their keys, which are the options' names.
WORDS = {"reconstruct": RECONSTRUCT, "learned_weights": LEARNED, "captured": CAPTURED, "split": MODES}
#: Calibration images have indices below those of the next set; see fpsim.methods.rounding_calls.
MOST_SAMPLES = 1 << 22
#: The papers have 20,000; a slip of the finger should not run for years.
MOST_ITERATIONS = 10_000_000


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
    for key, option in (("samples_per_step", "rounding-samples"), ("init_samples", "init-samples")):
        if key in settings:
            check_samples(option, settings[key])
    check_iterations("rounding-iters", settings["iterations"])
    if "init_samples" in given and not settings.get("format_search", True):
        raise FpsimError("--init-samples is for the search of formats, which --no-format-search leaves out; drop one")
    for key, known in WORDS.items():
        if key in settings and settings[key] not in known:
            raise FpsimError(f"{key} {settings[key]!r} is not one of {', '.join(known)}")
    options(settings)
    return settings


def check_samples(option: str, samples: int, what: str = "sample") -> None:
    """Refuse a number of samples that there cannot be.

    Raises:
        FpsimError: less than 1, or more than have noise of their own.
    """
    if not 1 <= samples <= MOST_SAMPLES:
        raise FpsimError(f"--{option} {samples}: at least 1 {what} is needed, at most {MOST_SAMPLES} are possible")


def check_iterations(option: str, iterations: int) -> None:
    """Refuse a number of iterations that no run ends with.

    Raises:
        FpsimError: too many.
    """
    if iterations > MOST_ITERATIONS:
        raise FpsimError(f"--{option} {iterations}: at most {MOST_ITERATIONS} are possible (usual: 1000 to 20000)")


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
