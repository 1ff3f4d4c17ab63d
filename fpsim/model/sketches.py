"""Sketches of all that enters each layer: of a model as it is, or behind layers that are quantized already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.intercept import Interception
from fpsim.model.layers import quantizable, without_fused_layers
from fpsim.model.operands import WeightOperand
from fpsim.model.threads import share_threads
from fpsim.quant.search.sketch import Sketch

Run = Callable[[], Any]


class _Reached(Exception):
    """The layer whose input is wanted has run: what follows in this call is of no use."""


class Tap:
    """What stands on the input of a layer: it may count values, end the call, and quantize."""

    def __init__(self, name: str, on_call: Callable[[str], None]) -> None:
        self.name, self.on_call = name, on_call
        self.sketch: Sketch | None = None
        self.last = False
        self.operand: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: Tensor) -> Tensor:
        self.on_call(self.name)
        if self.sketch is not None:
            self.sketch.add(x.detach(), f"the input of {self.name!r}")
        if self.last:
            raise _Reached
        return x if self.operand is None else self.operand(x)


class Taps:
    """Taps on layers of a model; a context manager that takes them off again.

    Args:
        model: any module.
        names: the layers, of those that :func:`fpsim.model.layers.quantizable` yields.
        weights: what quantizes the weights of some of them.

    Attributes:
        calls: how often each layer ran, in the order in which they first did.
    """

    def __init__(self, model: nn.Module, names: list[str], weights: Mapping[str, WeightOperand] | None = None) -> None:
        share_threads()
        self.calls: dict[str, int] = {}
        self.taps = {name: Tap(name, self._count) for name in names}
        self._undo = without_fused_layers(model)
        for name, module in quantizable(model):
            if name in self.taps:
                self._undo.append(Interception(module, self.taps[name], (weights or {}).get(name), name).undo)

    def __enter__(self) -> Taps:
        return self

    def __exit__(self, *error: object) -> None:
        while self._undo:
            self._undo.pop()()

    def all(self, run: Run) -> dict[str, Sketch]:
        """Run the model once and return a sketch of each layer's input, in the order in which the layers ran.

        Raises:
            FpsimError: NaN or Inf enters a layer (names it), or no layer ran.
        """
        for tap in self.taps.values():
            tap.sketch = Sketch()
        with torch.no_grad():
            run()
        found = {name: tap.sketch for name in self.calls if (tap := self.taps[name]).sketch is not None}
        for tap in self.taps.values():
            tap.sketch = None
        if not found:
            raise FpsimError("the calibration ran none of the model's layers, so there is no input to search")
        return found

    def one(self, name: str, runs: list[Run], *, once: bool) -> Sketch:
        """Return a sketch of one layer's input.

        Args:
            name: the layer.
            runs: functions that call the model.
            once: whether the layer runs once a call; then the call ends there.

        Raises:
            FpsimError: NaN or Inf enters the layer.
        """
        tap = self.taps[name]
        tap.sketch, tap.last = Sketch(), once
        try:
            with torch.no_grad():
                for run in runs:
                    _until_reached(run)
            return tap.sketch
        finally:
            tap.sketch, tap.last = None, False

    def _count(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1


def _until_reached(run: Run) -> None:
    try:
        run()
    except _Reached:
        return
