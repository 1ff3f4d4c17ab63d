"""What choices cost in all: exact sums, and the least and the most that any choice can cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.quant.allocation.problem import Budget, Problem


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Numbers of the chosen formats: ``weights`` int ``[layers]``, ``acts`` int ``[layers, bins]`` or None."""

    weights: NDArray[np.intp]
    acts: NDArray[np.intp] | None


def cost_of(budget: Budget, choice: Choice) -> float:
    """Return what a choice costs: an int, summed exactly, for whole costs, otherwise the exact sum rounded once."""
    layers = np.arange(len(choice.weights))
    found: list[NDArray[Any]] = []
    if budget.weights is not None:
        found.append(budget.weights[layers, choice.weights])
    if choice.acts is not None:
        bins = np.arange(choice.acts.shape[1])
        at = (layers[:, None], choice.acts, bins[None, :])
        if budget.acts is not None:
            found.append(budget.acts[at].ravel())
        if budget.pairs is not None:
            found.append(budget.pairs[at[0], choice.weights[:, None], at[1], at[2]].ravel())
    return _exact(np.concatenate([*found, [budget.fixed]]), whole=budget.whole)


def harm_of(problem: Problem, choice: Choice) -> float:
    """Return the sum that is minimized."""
    layers = np.arange(len(choice.weights))
    found = [problem.harm[layers, choice.weights]]
    if choice.acts is not None and problem.harm_acts is not None:
        found.append(problem.harm_acts[layers[:, None], choice.acts, np.arange(problem.bins)[None, :]].ravel())
    return math.fsum(np.concatenate(found).tolist())


def range_of(problem: Problem, budget: Budget) -> tuple[float, float]:
    """Return what the cheapest and the dearest allowed assignment cost; no other limit is looked at."""
    return cost_of(budget, _end(problem, budget, 1)), cost_of(budget, _end(problem, budget, -1))


def _end(problem: Problem, budget: Budget, sign: int) -> Choice:
    """The cheapest (sign 1) or dearest (sign -1) assignment of one budget."""
    total = np.zeros(problem.harm.shape) if budget.weights is None else sign * budget.weights
    each = _acts(problem, budget, sign)
    if each is not None:
        total = total + each.min(axis=2).sum(axis=2)
    weights = np.where(np.isposinf(problem.harm), math.inf, total).argmin(axis=1)
    if each is None:
        acts = None if problem.harm_acts is None else _allowed(problem.harm_acts)
    else:
        acts = each[np.arange(len(weights)), weights].argmin(axis=1)
    return Choice(weights, acts)


def _acts(problem: Problem, budget: Budget, sign: int) -> NDArray[Any] | None:
    """What each pair of formats costs in each bin, ``[layers, formats, formats, bins]``; None if nothing."""
    if problem.harm_acts is None or (budget.acts is None and budget.pairs is None):
        return None
    each: Any = 0 if budget.acts is None else sign * budget.acts[:, None]
    each = each + (0 if budget.pairs is None else sign * budget.pairs)
    shape = (*problem.harm.shape, *problem.harm_acts.shape[1:])
    blocked = np.isposinf(problem.harm_acts)[:, None]
    return np.asarray(np.where(np.broadcast_to(blocked, shape), math.inf, np.broadcast_to(each, shape)))


def _allowed(harm: NDArray[np.float64]) -> NDArray[np.intp]:
    """Some allowed format of each layer and bin."""
    return np.asarray(harm.argmin(axis=1))


def _exact(values: NDArray[Any], *, whole: bool) -> float:
    return sum(int(v) for v in values.tolist()) if whole else math.fsum(float(v) for v in values.tolist())
