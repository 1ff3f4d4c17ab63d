"""The timestep of a denoiser's current call, for quantizers that follow it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError

#: What the denoisers of diffusers call their argument.
ARGUMENT = "timestep"


def place_of_timestep(model: nn.Module) -> int | None:
    """Return the place of the argument ``timestep`` of a model, or None for a model without one.

    >>> place_of_timestep(nn.Linear(2, 2)) is None
    True
    """
    names = list(inspect.signature(model.forward).parameters)
    return names.index(ARGUMENT) if ARGUMENT in names else None


class Clock:
    """Knows the timesteps with which a model is being called.

    Args:
        place: of the argument ``timestep`` among the positional ones.

    Attributes:
        order: float64 ``[n]`` on the CPU, one timestep or one for each sample; None while the model does not run.
    """

    def __init__(self, place: int) -> None:
        self.place = place
        self.order: Tensor | None = None
        self._read: tuple[Tensor, tuple[float, ...]] | None = None

    def attach(self, model: nn.Module) -> list[Callable[[], None]]:
        """Follow the calls of a model; return what undoes it."""
        before = model.register_forward_pre_hook(self.start, with_kwargs=True, prepend=True)
        after = model.register_forward_hook(self.stop, always_call=True)
        return [after.remove, before.remove]

    def start(self, _module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Remember the timestep of a call that begins."""
        given = kwargs.get(ARGUMENT) if len(args) <= self.place else args[self.place]
        if isinstance(given, Tensor):
            self.order = given.detach().to("cpu", torch.float64).reshape(-1)
        elif given is not None:
            number = given if isinstance(given, int | float) else float(given)
            self.order = torch.full((1,), number, dtype=torch.float64)  # of any number, in a graph as well

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
    for hook in (Clock.start, Clock.stop):
        skip_code(hook.__code__)
    return Clock(place)
