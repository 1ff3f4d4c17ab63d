"""What an allocation is asked: harms, costs and budgets of every choice, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError

Numbers = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Budget:
    """A limit on the sum of what the choices cost; whole numbers are summed exactly.

    Args:
        name: such as ``weight bytes``.
        unit: such as ``bytes``, for messages.
        limit: the sum's largest allowed value.
        weights: int64 or float64 ``[layers, weight formats]``; None costs nothing.
        acts: ``[layers, activation formats, bins]``; None costs nothing.
        pairs: ``[layers, weight formats, activation formats, bins]``, what a weight format with an activation format
            costs, such as bit-operations; None costs nothing.
        fixed: what no choice changes, such as the time of operations without weights; counted in every sum.
    """

    name: str
    unit: str
    limit: float
    weights: Numbers | None = None
    acts: Numbers | None = None
    pairs: Numbers | None = None
    fixed: float = 0

    @property
    def whole(self) -> bool:
        """Whether all costs are whole numbers."""
        return isinstance(self.fixed, int) and all(
            part is None or np.issubdtype(part.dtype, np.integer) for part in self.parts()
        )

    def parts(self) -> tuple[Numbers | None, Numbers | None, Numbers | None]:
        """The three arrays of costs."""
        return self.weights, self.acts, self.pairs


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Choose a format a layer for the weights, and one a layer and timestep bin for the activations.

    Args:
        layers: names.
        weights: names of the weight formats.
        acts: names of the activation formats; none where activations are not chosen.
        harm: float64 ``[layers, weight formats]``, what is minimized; ``inf`` forbids a choice.
        harm_acts: ``[layers, activation formats, bins]``; None where activations are not chosen.
        budgets: limits that all hold.
        ties: like ``harm``: of choices of equal harm that cost no more, the one of the least tie value is taken.
        ties_acts: like ``harm_acts``.

    Raises:
        FpsimError: shapes that do not fit, NaN, costs below zero, or a layer for which every choice is forbidden.
    """

    layers: tuple[str, ...]
    weights: tuple[str, ...]
    harm: NDArray[np.float64]
    acts: tuple[str, ...] = ()
    harm_acts: NDArray[np.float64] | None = None
    budgets: tuple[Budget, ...] = ()
    ties: NDArray[np.float64] | None = None
    ties_acts: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        size = (len(self.layers), len(self.weights))
        if not self.layers or not self.weights:
            raise FpsimError(f"there is nothing to allocate: {size[0]} layers, {size[1]} formats")
        if bool(self.acts) != (self.harm_acts is not None):
            raise FpsimError("activation formats and their harms come together; give both or none")
        acts = (*size[:1], len(self.acts), self.bins)
        _check("harm of weights", self.harm, size)
        _check("harm of activations", self.harm_acts, acts)
        _check("ties of weights", self.ties, size)
        _check("ties of activations", self.ties_acts, acts)
        for budget in self.budgets:
            whole = (size, acts, (*size, *acts[1:]))
            for what, part, shape in zip(("weights", "activations", "pairs"), budget.parts(), whole, strict=True):
                _check(f"{budget.name} of {what}", part, shape, cost=True)
        self._check_possible()

    @property
    def bins(self) -> int:
        """How many timestep bins the activations have."""
        return 1 if self.harm_acts is None or self.harm_acts.ndim != 3 else self.harm_acts.shape[2]

    def _check_possible(self) -> None:
        """Refuse a layer that has no allowed choice."""
        for harm in (self.harm, self.harm_acts):
            if harm is None:
                continue
            blocked = np.isposinf(harm).all(axis=1).reshape(len(self.layers), -1).any(axis=1)
            for place in np.flatnonzero(blocked)[:1]:
                raise FpsimError(f"layer {self.layers[place]!r} can take none of the formats; skip it or add one")


def _check(what: str, values: Any, shape: tuple[int, ...], *, cost: bool = False) -> None:
    if values is None:
        return
    if np.shape(values) != shape:
        raise FpsimError(f"{what} has shape {list(np.shape(values))}, but {list(shape)} is needed")
    if np.isnan(values).any() or (cost and not (np.isfinite(values).all() and (values >= 0).all())):
        raise FpsimError(f"{what} holds NaN" + (", an infinity or a negative number" if cost else ""))
    if not cost and np.isneginf(values).any():
        raise FpsimError(f"{what} holds -inf; only inf has a meaning, a forbidden choice")
