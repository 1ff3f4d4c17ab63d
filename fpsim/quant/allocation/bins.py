"""Bins of the timestep: a quantizer of activations may follow the noise level."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True)
class TimestepBins:
    """Bins of the timestep's *value*, not of the step's number, so that schedules of any length share them.

    Args:
        edges: rising; a timestep lies in the bin whose number is the count of edges that are not above it. No edge
            means one bin for all timesteps.

    Raises:
        FpsimError: edges that do not rise or are not finite.

    >>> bins = TimestepBins.even(4, 1000)
    >>> bins.edges, bins.of(999), bins.of(250), bins.of(0.5)
    ((250.0, 500.0, 750.0), 3, 1, 0)
    """

    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(isfinite(edge) for edge in self.edges) or any(b <= a for a, b in pairwise(self.edges)):
            raise FpsimError(f"edges of timestep bins {list(self.edges)} do not rise; give finite, rising timesteps")

    @classmethod
    def even(cls, count: int, timesteps: float) -> TimestepBins:
        """Return bins of equal width between 0 and the timesteps of training.

        Raises:
            FpsimError: no bin.
        """
        if count < 1:
            raise FpsimError(f"{count} timestep bins were asked for; give at least 1")
        return cls(tuple(timesteps * i / count for i in range(1, count)))

    @property
    def count(self) -> int:
        """How many bins there are."""
        return len(self.edges) + 1

    def of(self, timestep: float) -> int:
        """Return the number of the bin of a timestep."""
        return bisect_right(self.edges, timestep)

    def shares(self, timesteps: Iterable[float]) -> tuple[float, ...]:
        """Return which part of some timesteps lies in each bin.

        Raises:
            FpsimError: there is no timestep.

        >>> TimestepBins((500.0,)).shares([900, 600, 300, 0])
        (0.5, 0.5)
        """
        numbers = [self.of(t) for t in timesteps]
        if not numbers:
            raise FpsimError("there is no timestep to divide into bins; run the denoiser at least once")
        return tuple(numbers.count(i) / len(numbers) for i in range(self.count))

    def label(self, number: int) -> str:
        """Return a bin in words, such as ``250 to 500``."""
        low = f"{self.edges[number - 1]:g}" if number else "0"
        return f"{low} to {self.edges[number]:g}" if number < len(self.edges) else f"{low} on"
