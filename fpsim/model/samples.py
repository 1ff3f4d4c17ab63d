"""Samples of what enters each layer, collected over a calibration run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.intercept import Interception
from fpsim.model.layers import axes, quantizable, without_fused_layers
from fpsim.model.split_names import halves
from fpsim.model.timestep import Clock, place_of_timestep
from fpsim.model.undo import restored

#: Values kept of a layer's input at each call; the extremes are always exact.
VALUES_PER_CALL = 8192

Calibration = Callable[[nn.Module], Any] | Iterable[Any]


@dataclass(frozen=True, slots=True, eq=False)
class LayerSample:
    """Values that entered a layer.

    Args:
        values: float32 ``[n]``, drawn evenly over calls, the smallest and the largest value seen included.
        calls: how often the layer ran.
        each: of each call, float64 ``[calls, 4]``: the timestep (NaN where it is not one), how many of ``values`` it
            gave, its smallest and its largest value; None where that is not known.
    """

    values: NDArray[np.float32]
    calls: int
    each: NDArray[np.float64] | None = None

    def check(self, name: str) -> None:
        """Refuse parts that do not fit each other, as a damaged file has them.

        Raises:
            FpsimError: names the layer.
        """
        each = self.each
        if each is not None and (
            each.shape != (self.calls, 4) or not (each[:, 1] >= 0).all() or each[:, 1].sum() + 2 != len(self.values)
        ):
            raise FpsimError(f"the sample of layer {name!r} does not fit its calls; calibrate again")


def collect(
    model: nn.Module, calibration: Calibration, split: Mapping[str, int] | None = None
) -> dict[str, LayerSample]:
    """Run the model as it is and return a sample of each quantizable layer's input.

    Args:
        model: any module.
        calibration: a function that runs the model, or its inputs: tensors, tuples or dicts of arguments.
        split: layers whose first so many channels and whose others are sampled beside the whole input, under the
            names of :func:`fpsim.model.split_names.halves`.

    Raises:
        FpsimError: neither of these; NaN or Inf enters a layer (names it); no layer ran.
    """
    if isinstance(calibration, Tensor | Mapping):
        kind = type(calibration).__name__
        raise FpsimError(f"the calibration is a {kind}; give a list of inputs, such as [{kind.lower()}], or a function")
    split, place = split or {}, place_of_timestep(model)
    clock = None if place is None else Clock(place)
    observers = {name: _Observer(name, clock) for name, _ in quantizable(model)}
    operands: dict[str, Any] = dict(observers)
    for name, module in [pair for pair in quantizable(model) if pair[0] in split]:
        first, second = (_Observer(half, clock) for half in halves(name, split[name]))
        operands[name] = _Halved(observers[name], first, second, split[name], axes(module).acts)
        observers |= {first.name: first, second.name: second}
    undo = without_fused_layers(model) + ([] if clock is None else clock.attach(model))
    undo += [Interception(module, operands[name], None).undo for name, module in quantizable(model)]
    with restored(undo), torch.no_grad():
        _run(model, calibration)
    found = {name: observer.sample() for name, observer in observers.items() if observer.calls}
    if not found:
        raise FpsimError(
            "the calibration ran none of the model's layers; give inputs, or a function that calls the model"
        )
    return found


def _run(model: nn.Module, calibration: Calibration) -> None:
    if callable(calibration):
        calibration(model)
        return
    for inputs in calibration:
        if isinstance(inputs, Mapping):
            model(**inputs)
        elif isinstance(inputs, tuple | list):
            model(*inputs)
        else:
            model(inputs)


class _Observer:
    """Draws values from each tensor that passes, by indices that depend on the call's number alone."""

    def __init__(self, name: str, clock: Clock | None) -> None:
        self.name, self.calls, self.clock = name, 0, clock
        self.drawn: list[NDArray[np.float32]] = []
        self.each: list[tuple[float, float, float, float]] = []
        self.low, self.high = np.inf, -np.inf

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.detach().reshape(-1)
        if not flat.numel():
            return x
        low, high = (float(v) for v in flat.aminmax())
        if not np.isfinite([low, high]).all():
            raise FpsimError(f"NaN or Inf enters layer {self.name!r} in calibration; run the model in a wider dtype")
        self.low, self.high = min(self.low, low), max(self.high, high)
        if flat.numel() > VALUES_PER_CALL:
            indices = np.random.default_rng(self.calls).integers(flat.numel(), size=VALUES_PER_CALL)
            flat = flat[torch.from_numpy(indices).to(flat.device)]
        self.drawn.append(flat.float().cpu().numpy().copy())
        self.calls += 1
        timesteps = () if self.clock is None else self.clock.timesteps
        self.each.append((timesteps[0] if len(timesteps) == 1 else np.nan, flat.numel(), low, high))
        return x

    def sample(self) -> LayerSample:
        extremes = np.array([self.low, self.high], np.float32)
        return LayerSample(np.concatenate([*self.drawn, extremes]), self.calls, np.array(self.each, np.float64))


class _Halved:
    """Observes a tensor, its first channels, and its others."""

    def __init__(self, whole: _Observer, first: _Observer, second: _Observer, at: int, axis: int) -> None:
        self.whole, self.first, self.second, self.at, self.axis = whole, first, second, at, axis

    def __call__(self, x: Tensor) -> Tensor:
        self.first(x.narrow(self.axis, 0, self.at))
        self.second(x.narrow(self.axis, self.at, x.shape[self.axis] - self.at))
        return self.whole(x)
