"""Sketches of all that enters each layer: of a model as it is, or behind layers that are quantized already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.binned_sketch import BinnedSketch, bin_at
from fpsim.model.intercept import Interception
from fpsim.model.layers import axes, quantizable, without_fused_layers
from fpsim.model.operands import WeightOperand
from fpsim.model.split_names import halves
from fpsim.model.threads import share_threads
from fpsim.model.timestep import Clock, clock_of
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.search.sketch import Sketch

Run = Callable[[], Any]


class _Reached(Exception):
    """The layer whose input is wanted has run: what follows in this call is of no use."""


class Tap:
    """What stands on the input of a layer: it may count values, end the call, and quantize.

    Args:
        name: of the layer.
        on_call: told the name at each call.
        at: channels of the first half of a split layer, whose halves have a sketch each; None for another layer.
        axis: of the channels, counted from the end.
        clock: of the model, where values are counted apart for each bin of the timestep.
        bins: of the timestep.
    """

    def __init__(
        self,
        name: str,
        on_call: Callable[[str], None],
        at: int | None = None,
        axis: int = -1,
        clock: Clock | None = None,
        bins: TimestepBins | None = None,
    ) -> None:
        self.name, self.on_call, self.at, self.axis = name, on_call, at, axis
        self.clock, self.bins = clock, bins or TimestepBins()
        self.sketches: dict[str, dict[int, Sketch]] = {}
        self.last = False
        self.operand: Callable[[Tensor], Tensor] | None = None

    def begin(self) -> None:
        """Count the values of all calls from now on."""
        self.sketches = {place: {} for place in ((self.name,) if self.at is None else halves(self.name, self.at))}

    def take(self) -> dict[str, BinnedSketch]:
        """Return what was counted, by the layer's name or by those of its halves, and count no more."""
        found, self.sketches = self.sketches, {}
        return {place: BinnedSketch(self.bins, parts) for place, parts in found.items()}

    def __call__(self, x: Tensor) -> Tensor:
        self.on_call(self.name)
        if self.sketches:
            number = 0 if self.clock is None else bin_at(self.clock, self.bins, self.name)
            for (place, sketches), part in zip(self.sketches.items(), self._parts(x.detach()), strict=True):
                if number not in sketches:
                    sketches[number] = Sketch()
                sketches[number].add(part, f"the input of {place!r}")
        if self.last:
            raise _Reached
        return x if self.operand is None else self.operand(x)

    def _parts(self, x: Tensor) -> tuple[Tensor, ...]:
        if self.at is None:
            return (x,)
        return x.narrow(self.axis, 0, self.at), x.narrow(self.axis, self.at, x.shape[self.axis] - self.at)


class Taps:
    """Taps on layers of a model; a context manager that takes them off again.

    Args:
        model: any module.
        names: the layers, of those that :func:`fpsim.model.layers.quantizable` yields.
        weights: what quantizes the weights of some of them.
        splits: split indices of the layers whose inputs' halves are sketched each by itself, under the names of
            :func:`fpsim.model.split_names.halves`.
        bins: of the timestep, each of which has a sketch of its own; None for one sketch of all.

    Attributes:
        calls: how often each layer ran, in the order in which they first did.
        clock: tells the timestep of the model's calls while the taps are on; None without bins.

    Raises:
        FpsimError: bins, but the model has no timestep.
    """

    def __init__(
        self,
        model: nn.Module,
        names: list[str],
        weights: Mapping[str, WeightOperand] | None = None,
        splits: Mapping[str, int] | None = None,
        bins: TimestepBins | None = None,
    ) -> None:
        share_threads()
        self.calls: dict[str, int] = {}
        self.taps: dict[str, Tap] = {}
        self.clock = None if bins is None else clock_of(model)
        self._undo = without_fused_layers(model) + ([] if self.clock is None else self.clock.attach(model))
        for name, module in quantizable(model):
            if name in names:
                at = (splits or {}).get(name)
                self.taps[name] = Tap(name, self._count, at, axes(module).acts, self.clock, bins)
                self._undo.append(Interception(module, self.taps[name], (weights or {}).get(name), name).undo)

    def __enter__(self) -> Taps:
        return self

    def __exit__(self, *error: object) -> None:
        while self._undo:
            self._undo.pop()()

    def all(self, run: Run) -> dict[str, BinnedSketch]:
        """Run the model once and return sketches of the layers' inputs, in the order in which the layers ran.

        Raises:
            FpsimError: NaN or Inf enters a layer (names it), or no layer ran.
        """
        for tap in self.taps.values():
            tap.begin()
        with torch.no_grad():
            run()
        taken = {name: tap.take() for name, tap in self.taps.items()}
        found = {place: sketch for name in self.calls for place, sketch in taken[name].items()}
        if not found:
            raise FpsimError("the calibration ran none of the model's layers, so there is no input to search")
        return found

    def one(self, name: str, runs: list[Run], *, once: bool) -> dict[str, BinnedSketch]:
        """Return the sketch of one layer's input, or those of its halves.

        Args:
            name: the layer.
            runs: functions that call the model.
            once: whether the layer runs once a call; then the call ends there.

        Raises:
            FpsimError: NaN or Inf enters the layer.
        """
        tap = self.taps[name]
        tap.begin()
        tap.last = once
        try:
            with torch.no_grad():
                for run in runs:
                    _until_reached(run)
            return tap.take()
        finally:
            tap.sketches, tap.last = {}, False

    def _count(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1


def _until_reached(run: Run) -> None:
    try:
        run()
    except _Reached:
        return
