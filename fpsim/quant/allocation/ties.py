"""Of choices that the objective and the budgets do not tell apart, the better one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.quant.allocation.problem import Problem
from fpsim.quant.allocation.totals import Choice


def settle(problem: Problem, choice: Choice) -> Choice:
    """Return a choice of the same harm that costs no more in any budget, with the least tie values.

    Such as: an importance that sees bit-widths alone does not tell ``int4`` from ``e2m1``; their errors do.
    """
    weights, acts = choice.weights.copy(), None if choice.acts is None else choice.acts.copy()
    if problem.ties is not None:
        for layer, now in enumerate(choice.weights):
            others = _cheaper(problem, layer, int(now), acts)
            weights[layer] = _best(problem.harm[layer], problem.ties[layer], int(now), others)
    if problem.ties_acts is not None and acts is not None and problem.harm_acts is not None:
        for layer, bin_ in np.ndindex(*acts.shape):
            now = int(acts[layer, bin_])
            costs = [part for b in problem.budgets for part in _acts_costs(b, layer, bin_, int(weights[layer]))]
            others = _no_dearer(costs, now, len(problem.acts))
            acts[layer, bin_] = _best(problem.harm_acts[layer, :, bin_], problem.ties_acts[layer, :, bin_], now, others)
    return Choice(weights, acts)


def _cheaper(problem: Problem, layer: int, now: int, acts: NDArray[np.intp] | None) -> NDArray[np.bool_]:
    costs: list[NDArray[Any]] = []
    for budget in problem.budgets:
        cost: Any = 0 if budget.weights is None else budget.weights[layer]
        if budget.pairs is not None and acts is not None:
            bins = np.arange(acts.shape[1])
            cost = cost + budget.pairs[layer][:, acts[layer], bins].sum(axis=1)
        costs.append(np.broadcast_to(cost, (len(problem.weights),)))
    return _no_dearer(costs, now, len(problem.weights))


def _acts_costs(budget: Any, layer: int, bin_: int, weight: int) -> list[NDArray[Any]]:
    cost: Any = 0 if budget.acts is None else budget.acts[layer, :, bin_]
    if budget.pairs is not None:
        cost = cost + budget.pairs[layer, weight, :, bin_]
    return [np.asarray(cost)] if np.ndim(cost) else []


def _no_dearer(costs: list[NDArray[Any]], now: int, count: int) -> NDArray[np.bool_]:
    allowed = np.ones(count, dtype=bool)
    for cost in costs:
        allowed &= cost <= cost[now]
    return allowed


def _best(harm: NDArray[np.float64], ties: NDArray[np.float64], now: int, allowed: NDArray[np.bool_]) -> int:
    same = allowed & (harm == harm[now])
    candidates = np.flatnonzero(same)
    return int(candidates[np.argmin(ties[candidates])])
