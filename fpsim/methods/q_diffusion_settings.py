"""The settings of Q-Diffusion, as JSON values and as the core takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fpsim.errors import FpsimError
from fpsim.methods.rounding_settings import beta, check_iterations, check_samples
from fpsim.model.split import MODES
from fpsim.quant.reconstruction.rounding import WeightOptions
from fpsim.quant.reconstruction.steps import StepOptions
from fpsim.quant.rounding.regularizer import Schedule

#: option on the command line without its dashes -> key of the settings
KEYS = {
    "rounding_iters": "iterations",
    "rounding_lr": "lr",
    "rounding_lambda": "lambda",
    "rounding_beta": "beta",
    "rounding_samples": "samples_per_step",
    "calibration_steps": "steps_kept",
    "recon_batch": "batch_size",
    "act_iters": "act_iterations",
    "act_lr": "act_lr",
    "act_init": "act_init",
    "softmax_bits": "softmax_bits",
    "split": "split",
    "compat": "compat",
}
#: For a small model on a CPU. The paper has 20 steps of 256 samples (Stable Diffusion: 25 of 128), 20,000 iterations
#: of 32 samples at 0.001 for weights and 5,000 at 0.0004 for step sizes.
DEFAULTS: Mapping[str, Any] = {
    "iterations": 300,
    "lr": 1e-2,
    "lambda": 0.01,
    "beta": "20:2",
    "batch_size": 16,
    "samples_per_step": 8,
    "steps_kept": 10,
    "act_iterations": 100,
    "act_lr": 4e-4,
    "act_init": "ema",
    "softmax_bits": 8,
    "split": "shortcut",
    "compat": "none",
}
INITS = ("max", "ema", "mse")
COMPATS = ("none", "q-diffusion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compat:
    """Which peculiarities of the released code are repeated.

    Args:
        second_half_free: the regularizer leaves out the second quantizer of a split weight, and where a split layer
            is a unit of its own, only its first half learns.
        train_mode: units learn in training mode, so that dropout is active.
        max_on_resume: a run that goes on fits the scales of what is left by ``max``, whatever the rule.
        signed_softmax: the output of the softmax is quantized as a signed integer, which loses half of the codes.
        no_fallback: what was learned stays also where it did not lower a unit's error.
    """

    second_half_free: bool = False
    train_mode: bool = False
    max_on_resume: bool = False
    signed_softmax: bool = False
    no_fallback: bool = False

    @classmethod
    def of(cls, name: str) -> Compat:
        """Return none of them for ``none``, and all of them for ``q-diffusion``.

        Raises:
            FpsimError: another name.
        """
        if name not in COMPATS:
            raise FpsimError(f"compat {name!r} is not one of {', '.join(COMPATS)}")
        released = name == "q-diffusion"
        return cls(**dict.fromkeys(cls.__dataclass_fields__, released))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that Q-Diffusion can be told, checked.

    Args:
        weights, steps: of the two phases.
        steps_kept, samples_per_step: of calibration: how many sampler steps, evenly spread from the first on, and
            samples of each.
        act_init: how activation scales begin: ``max``: the whole range seen; ``ema``: its moving average over calls
            of the denoiser; ``mse``: the search of :mod:`fpsim.quant.asymmetric` on values drawn from all calls.
        softmax_bits: width of the softmax's output; 16 is not learned.
        split: see :func:`fpsim.model.split.find_splits`.
        compat: peculiarities of the released code.
    """

    weights: WeightOptions
    steps: StepOptions
    steps_kept: int
    samples_per_step: int
    act_init: str
    softmax_bits: int
    split: str
    compat: Compat


def resolve(given: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return the settings as JSON values: defaults, and what the user chose instead.

    Args:
        given: options by their names on the command line, with underscores.
        steps: of sampling; more cannot be kept.

    Raises:
        FpsimError: an option that the method does not take, or a value that makes no sense.
    """
    settings = {**DEFAULTS, "steps_kept": min(DEFAULTS["steps_kept"], steps)}
    for option, value in given.items():
        if option not in KEYS:
            raise FpsimError(f"--{option.replace('_', '-')} is no option of --method q-diffusion; drop it")
        settings[KEYS[option]] = value
    if not 1 <= settings["steps_kept"] <= steps:
        raise FpsimError(f"--calibration-steps {settings['steps_kept']}: of {steps} sampling steps, keep 1 to {steps}")
    checked(settings)
    return settings


def checked(settings: Mapping[str, Any]) -> Settings:
    """Return the settings as the core takes them.

    Raises:
        FpsimError: a value that makes no sense.
    """
    for key, known in (("act_init", INITS), ("split", MODES)):
        if settings[key] not in known:
            raise FpsimError(f"--{key.replace('_', '-')} {settings[key]!r} is not one of {', '.join(known)}")
    for key, option in (("samples_per_step", "rounding-samples"), ("batch_size", "recon-batch")):
        check_samples(option, settings[key])
    for key, option in (("iterations", "rounding-iters"), ("act_iterations", "act-iters")):
        check_iterations(option, settings[key])
    if not 2 <= settings["softmax_bits"] <= 16:
        raise FpsimError(f"--softmax-bits {settings['softmax_bits']}: 2 to 16 are possible")
    compat = Compat.of(settings["compat"])
    first, last = beta(settings["beta"])
    return Settings(
        weights=WeightOptions(
            iterations=settings["iterations"],
            batch_size=settings["batch_size"],
            lr=settings["lr"],
            schedule=Schedule(weight=settings["lambda"], beta_start=first, beta_end=last),
            keep_nearest=not compat.no_fallback,
            train_mode=compat.train_mode,
            second_free=compat.second_half_free,
        ),
        steps=StepOptions(
            iterations=settings["act_iterations"],
            batch_size=settings["batch_size"],
            lr=settings["act_lr"],
            train_mode=compat.train_mode,
            keep_start=not compat.no_fallback,
        ),
        steps_kept=settings["steps_kept"],
        samples_per_step=settings["samples_per_step"],
        act_init=settings["act_init"],
        softmax_bits=settings["softmax_bits"],
        split=settings["split"],
        compat=compat,
    )
