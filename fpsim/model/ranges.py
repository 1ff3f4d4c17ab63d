"""Ranges and values of activations, seen at each place where a quantizer would stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.attention import AttentionInterception, AttentionOperands, attentions, sites
from fpsim.model.intercept import Interception
from fpsim.model.layers import axes, without_fused_layers
from fpsim.model.split_names import halves
from fpsim.quant.asymmetric import MOMENTUM

#: Values kept of each tensor that passes; the extremes are always exact.
VALUES_PER_CALL = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What passed a place in calibration.

    Args:
        values: float32 ``[n]``, drawn evenly over calls, the extremes included.
        low, high: the moving averages of the smallest and the largest value of a call, momentum 0.95.
    """

    values: NDArray[np.float32]
    low: float
    high: float


class RangeObserver:
    """Lets tensors pass and remembers their ranges and some values."""

    def __init__(self, name: str) -> None:
        self.name, self.drawn = name, list[NDArray[np.float32]]()
        self.averages: tuple[float, float] | None = None
        self.low, self.high = np.inf, -np.inf

    def __call__(self, x: Tensor) -> Tensor:
        flat = x.detach().reshape(-1)
        low, high = (float(v) for v in flat.aminmax())
        if not np.isfinite([low, high]).all():
            raise FpsimError(f"NaN or Inf enters {self.name} in calibration; run the model in a wider dtype")
        self.low, self.high = min(self.low, low), max(self.high, high)
        was = self.averages or (low, high)
        self.averages = (MOMENTUM * was[0] + (1 - MOMENTUM) * low, MOMENTUM * was[1] + (1 - MOMENTUM) * high)
        if flat.numel() > VALUES_PER_CALL:
            indices = np.random.default_rng(len(self.drawn)).integers(flat.numel(), size=VALUES_PER_CALL)
            flat = flat[torch.from_numpy(indices).to(flat.device)]
        self.drawn.append(flat.float().cpu().numpy().copy())
        return x

    def seen(self) -> Seen:
        """Return what passed.

        Raises:
            FpsimError: nothing did.
        """
        if self.averages is None:
            raise FpsimError(f"the calibration never ran {self.name}, so it has no scale; skip it or run it")
        extremes = np.array([self.low, self.high], np.float32)
        return Seen(values=np.concatenate([*self.drawn, extremes]), low=self.averages[0], high=self.averages[1])


def observe(
    model: nn.Module,
    layers: Sequence[str],
    splits: Mapping[str, int],
    attended: Sequence[str],
    run: Callable[[], Any],
) -> dict[str, Seen]:
    """Run a model and return what passed each place.

    Args:
        model: any module.
        layers: whose inputs are seen.
        splits: split indices by layer; such a layer has two places (:func:`fpsim.model.split.halves`).
        attended: attentions whose operands are seen, four places each (:func:`fpsim.model.attention.sites`).
        run: runs the model.

    Raises:
        FpsimError: NaN or Inf passes, or a place is never reached.
    """
    modules, products = dict(model.named_modules()), dict(attentions(model))
    places = [place for name in layers for place in (halves(name, splits[name]) if name in splits else (name,))]
    places += [place for name in attended for place in sites(name).values()]
    observers = {place: RangeObserver(place) for place in places}
    undo = without_fused_layers(model)
    for name in layers:
        undo.append(Interception(modules[name], _operand(name, modules[name], splits, observers), None).undo)
    for name in attended:
        operands = AttentionOperands(**{role: observers[place] for role, place in sites(name).items()})
        undo.append(AttentionInterception(products[name], operands, name).undo)
    try:
        with torch.no_grad():
            run()
    finally:
        for restore in reversed(undo):
            restore()
    return {place: observer.seen() for place, observer in observers.items()}


def _operand(
    name: str, module: nn.Module, splits: Mapping[str, int], observers: Mapping[str, RangeObserver]
) -> Callable[[Tensor], Tensor]:
    if name not in splits:
        return observers[name]
    at, axis = splits[name], axes(module).acts
    first, second = (observers[place] for place in halves(name, at))

    def both(x: Tensor) -> Tensor:
        first(x.narrow(axis, 0, at))
        second(x.narrow(axis, at, x.shape[axis] - at))
        return x

    return both
