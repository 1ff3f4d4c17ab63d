"""What an allocation found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.quant.allocation.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What an allocation takes of a budget, and what the cheapest and the dearest assignment would.

    Args:
        unit: of all figures.
        used, limit: never ``used > limit``.
        least, most: of any assignment, other budgets aside.
    """

    unit: str
    used: float
    limit: float
    least: float
    most: float

    @property
    def binds(self) -> bool:
        """Whether the limit forbids anything."""
        return self.limit < self.most


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocation:
    """A format for each layer's weights, and for its activations in each timestep bin.

    Args:
        problem: what was asked.
        weights: int ``[layers]``, numbers of the problem's weight formats.
        acts: int ``[layers, bins]``, numbers of its activation formats, or None.
        harm: the sum that was minimized.
        bound: no assignment within the budgets has a smaller sum, by the solver's proof.
        used: by budget.
        seconds: of solving.
    """

    problem: Problem
    weights: NDArray[np.intp]
    acts: NDArray[np.intp] | None
    harm: float
    bound: float
    used: Mapping[str, Use]
    seconds: float

    @property
    def gap(self) -> float:
        """(harm − bound) / |harm|: 0 is proven to be the least."""
        return 0.0 if self.harm <= self.bound else (self.harm - self.bound) / max(abs(self.harm), 1e-300)

    def weight_formats(self) -> dict[str, str]:
        """Each layer's weight format by name."""
        return {
            name: self.problem.weights[chosen] for name, chosen in zip(self.problem.layers, self.weights, strict=True)
        }

    def act_formats(self) -> dict[str, tuple[str, ...]]:
        """Each layer's activation formats by name, one a timestep bin; empty where they were not chosen."""
        if self.acts is None:
            return {}
        return {
            name: tuple(self.problem.acts[i] for i in row)
            for name, row in zip(self.problem.layers, self.acts, strict=True)
        }

    def notes(self) -> list[str]:
        """What a reader should know: budgets that forbid nothing."""
        return [
            f"the budget of {use.limit:,.10g} {use.unit} forbids nothing: the dearest assignment takes {use.most:,.10g}"
            for use in self.used.values()
            if not use.binds
        ]
