"""The timestep of a denoiser's current call, for quantizers that follow it, in units of training.

Most denoisers are called with the timestep itself, 0 to 1000. Pipelines of flow-matching transformers divide it by
1000, and some count from the other end. Bins hold timesteps of training, whatever the denoiser is called with.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.quiet import quiet
from fpsim.quant.binned import TRAINED

#: What the denoisers of diffusers call their argument.
ARGUMENT = "timestep"
#: Denoisers whose pipelines divide the timestep by 1000, or by the timesteps of training, which are as many.
PARTS = frozenset(
    f"{name}Transformer2DModel"
    for name in (
        *("AuraFlow", "BriaFibo2", "Chroma", "Flux", "Flux2", "Krea2", "LongCatImage", "NucleusMoEImage", "OvisImage"),
        *("PRX", "QwenImage", "QwenImage21"),
    )
)
#: Denoisers whose pipelines give 1 minus that part.
REVERSED = frozenset(("Lumina2Transformer2DModel", "LuminaNextDiT2DModel"))
#: Digits after the point to which the timestep of a part is known: 700 / 1000 · 1000 is not 700 in float32.
_DIGITS = 3
#: Steps of a trial run that shows in what unit a scheduler gives timesteps.
_STEPS = 10


def place_of_timestep(model: nn.Module) -> int | None:
    """Return the place of the argument ``timestep`` of a model, or None for a model without one.

    >>> place_of_timestep(nn.Linear(2, 2)) is None
    True
    """
    names = list(inspect.signature(model.forward).parameters)
    return names.index(ARGUMENT) if ARGUMENT in names else None


def in_training(model: nn.Module, timestep: Tensor) -> Tensor:
    """Return timesteps of training from what a model is called with.

    Args:
        model: a denoiser.
        timestep: of a call, any shape.

    Returns:
        float64, on the CPU.
    """
    return _converted(timestep, _unit(model))


def _unit(model: nn.Module) -> str:
    names = {kind.__name__ for kind in type(model).__mro__}
    return "part" if names & PARTS else "reversed" if names & REVERSED else "timestep"


def _converted(given: Tensor, unit: str) -> Tensor:
    if unit == "timestep":
        return given.detach().to("cpu", torch.float64)
    part = given.detach() if given.is_floating_point() else given.detach().double()
    whole = (part if unit == "part" else 1 - part) * TRAINED  # in its own type, as the models themselves compute it
    return whole.to("cpu", torch.float64).round(decimals=_DIGITS)


def trained(scheduler: Any, bins: int = 1) -> float:
    """Return over how many timesteps a model was trained, which bins of equal width are spread over.

    Args:
        scheduler: the model's own.
        bins: how many are asked for.

    Raises:
        FpsimError: several bins, but the scheduler calls denoisers with noise levels instead of timesteps.
    """
    whole = float(scheduler.config.get("num_train_timesteps") or TRAINED)
    if bins < 2:
        return whole
    try:
        with quiet():
            trial = type(scheduler).from_config(scheduler.config)
            trial.set_timesteps(_STEPS)
        values = [float(value) for value in trial.timesteps]
    except (
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        ZeroDivisionError,
        RuntimeError,
    ):  # it needs more than a number of steps
        return whole
    if not (0 <= min(values) and whole / _STEPS < max(values) <= whole * (1 + 1e-6)):
        raise FpsimError(
            f"{type(scheduler).__name__} calls the denoiser with values from {min(values):.4g} to {max(values):.4g}, "
            f"not with timesteps of 0 to {whole:g}, over which bins of equal width are spread; give the edges of "
            "timestep_bins in these values, in a policy"
        )
    return whole


class Clock:
    """Knows the timesteps with which a model is being called.

    Args:
        place: of the argument ``timestep`` among the positional ones.

    Attributes:
        order: float64 ``[n]`` on the CPU, in units of training, one timestep or one for each sample; None while the
            model does not run.
    """

    def __init__(self, place: int) -> None:
        self.place, self.unit = place, "timestep"
        self.order: Tensor | None = None
        self._read: tuple[Tensor, tuple[float, ...]] | None = None

    def attach(self, model: nn.Module) -> list[Callable[[], None]]:
        """Follow the calls of a model; return what undoes it."""
        self.unit = _unit(model)
        before = model.register_forward_pre_hook(self.start, with_kwargs=True, prepend=True)
        after = model.register_forward_hook(self.stop, always_call=True)
        return [after.remove, before.remove]

    def start(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Remember the timestep of a call that begins."""
        given = kwargs.get(ARGUMENT) if len(args) <= self.place else args[self.place]
        if isinstance(given, Tensor):
            self.order = _converted(given, self.unit).reshape(-1)
        elif given is not None:
            number = given if isinstance(given, int | float) else float(given)
            # A tensor of any number, in a graph as well.
            self.order = _converted(torch.full((1,), number, dtype=torch.float64), self.unit)

    def stop(self, *_: Any) -> None:
        """Forget it: what runs outside a call has no timestep."""
        self.order = None

    @property
    def timesteps(self) -> tuple[float, ...]:
        """The timesteps of the call: one, or one for each sample where they differ; none outside a call."""
        order = self.order
        if order is None:
            return ()
        if self._read is None or self._read[0] is not order:
            values = tuple(float(value) for value in order.tolist())
            self._read = order, values[:1] if len(set(values)) == 1 else values
        return self._read[1]


def clock_of(model: nn.Module) -> Clock:
    """Return a clock for a model.

    Raises:
        FpsimError: its forward has no argument ``timestep``.
    """
    place = place_of_timestep(model)
    if place is None:
        raise FpsimError(
            f"{type(model).__name__}.forward has no argument {ARGUMENT!r}, which timestep bins follow; quantize the "
            "denoiser itself, or drop the bins"
        )
    from torch._dynamo.eval_frame import skip_code  # slow to import

    # Alone they would be a graph for each number given as timestep; inside a larger graph they are traced as usual.
    for function in (Clock.start, Clock.stop, _converted):
        skip_code(function.__code__)
    return Clock(place)
