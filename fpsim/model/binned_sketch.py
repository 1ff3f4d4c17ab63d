"""A sketch of what enters a layer, apart for each bin of the timestep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from math import inf

from fpsim.errors import FpsimError
from fpsim.model.timestep import Clock
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.search.sketch import Sketch


@dataclass(frozen=True, slots=True, eq=False)
class BinnedSketch:
    """Sketches of a layer's input, one for each bin of the timestep that had calls.

    Args:
        bins: of the timestep; one without edges where nothing follows it.
        parts: sketches by the number of their bin.
    """

    bins: TimestepBins
    parts: Mapping[int, Sketch]

    @property
    def whole(self) -> Sketch:
        """The sketch over all timesteps: equal, bit for bit, to one that never was apart."""
        return _merged(list(self.parts.values()))

    def within(self, start: float, stop: float) -> Sketch | None:
        """Return the sketch of the timesteps from ``start`` to below ``stop``; None where there are none.

        Args:
            start, stop: edges of the bins, or infinite.
        """
        ends = (-inf, *self.bins.edges, inf)
        inside = [part for number, part in self.parts.items() if start <= ends[number] and ends[number + 1] <= stop]
        return _merged(inside) if inside else None


def _merged(parts: list[Sketch]) -> Sketch:
    """One sketch of several; the only one itself."""
    return parts[0] if len(parts) == 1 else reduce(_with, parts, Sketch())


def _with(total: Sketch, part: Sketch) -> Sketch:
    total.merge(part)
    return total


def bin_at(clock: Clock, bins: TimestepBins, name: str) -> int:
    """Return the number of the bin in which a model is being called.

    Args:
        clock: of the model.
        bins: of the timestep.
        name: of a layer that runs, for errors.

    Raises:
        FpsimError: the call has no timestep, or samples of several.
    """
    timesteps = clock.timesteps
    if len(timesteps) != 1:
        how = f"{len(timesteps)} timesteps" if timesteps else "no timestep"
        raise FpsimError(
            f"layer {name!r} has timestep bins, but runs in a call with {how}; call the whole denoiser, one timestep "
            "a call"
        )
    return bins.of(timesteps[0])
