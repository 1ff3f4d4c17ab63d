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
from fpsim.model.current_bins import CurrentBins
from fpsim.model.intercept import Interception
from fpsim.model.layers import axes, without_fused_layers
from fpsim.model.split_names import halves
from fpsim.model.timestep import clock_of
from fpsim.model.undo import restored
from fpsim.quant.asymmetric import MOMENTUM
from fpsim.quant.binned import BinnedSpec

#: Values kept of each tensor that passes; the extremes are always exact.
VALUES_PER_CALL = 4096


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What passed a place in calibration, at all timesteps or at those of one bin.

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


class BinnedObserver:
    """Remembers what passes apart for each bin of the timestep.

    Args:
        name: of the place.
        current: the bins of the samples that pass.
    """

    def __init__(self, name: str, current: CurrentBins) -> None:
        self.name, self.current = name, current
        self.parts = [RangeObserver(name) for _ in current.spec.bins]

    def __call__(self, x: Tensor) -> Tensor:
        numbers = self.current(x)
        if len(numbers) == 1:
            return self.parts[numbers[0]](x)
        places = torch.tensor(numbers, device=x.device)
        for number in sorted(set(numbers)):
            self.parts[number](x[places == number])
        return x

    def seen(self) -> tuple[Seen, ...]:
        """Return what passed in each bin.

        Raises:
            FpsimError: nothing did, in some bin.
        """
        reached = [part.averages is not None for part in self.parts]
        if any(reached) and not all(reached):
            raise FpsimError(
                f"timestep bin {self.current.spec.bins[reached.index(False)]} holds none of the timesteps at which "
                f"calibration ran {self.name}, so it has no scale; calibrate on more steps or take fewer bins"
            )
        return tuple(part.seen() for part in self.parts)


def observe(
    model: nn.Module,
    layers: Sequence[str],
    splits: Mapping[str, int],
    attended: Sequence[str],
    run: Callable[[], Any],
    binned: Mapping[str, BinnedSpec] | None = None,
) -> dict[str, tuple[Seen, ...]]:
    """Run a model and return what passed each place: over all timesteps, or in each bin of the timestep.

    Args:
        model: any module.
        layers: whose inputs are seen.
        splits: split indices by layer; such a layer has two places (:func:`fpsim.model.split.halves`).
        attended: attentions whose operands are seen, four places each (:func:`fpsim.model.attention.sites`).
        run: runs the model.
        binned: bins of the timestep, of the places that have them.

    Raises:
        FpsimError: NaN or Inf passes, or a place is never reached, in some bin of it; bins, but the model has no
            timestep.
    """
    modules, products = dict(model.named_modules()), dict(attentions(model))
    places = [place for name in layers for place in (halves(name, splits[name]) if name in splits else (name,))]
    places += [place for name in attended for place in sites(name).values()]
    clock = clock_of(model) if binned else None
    observers: dict[str, RangeObserver | BinnedObserver] = {place: RangeObserver(place) for place in places}
    if clock is not None:
        observers |= {place: BinnedObserver(place, CurrentBins(s, clock, place)) for place, s in (binned or {}).items()}
    undo = without_fused_layers(model) + ([] if clock is None else clock.attach(model))
    for name in layers:
        undo.append(Interception(modules[name], _operand(name, modules[name], splits, observers), None).undo)
    for name in attended:
        operands = AttentionOperands(**{role: observers[place] for role, place in sites(name).items()})
        undo.append(AttentionInterception(products[name], operands, name).undo)
    with restored(undo), torch.no_grad():
        run()
    found = {place: observer.seen() for place, observer in observers.items()}
    return {place: seen if isinstance(seen, tuple) else (seen,) for place, seen in found.items()}


def _operand(
    name: str, module: nn.Module, splits: Mapping[str, int], observers: Mapping[str, Callable[[Tensor], Tensor]]
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
