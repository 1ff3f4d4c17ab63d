"""Column generation: large problems whose budgets couple weights with activations, solved by whole layers' choices.

A column is everything that is chosen for one layer: a weight format and an activation format in each bin. Prices of
the budgets make the best column of each layer a matter of a few minima, so a linear program over few columns finds the
prices at which no further column helps; its Lagrangian bound is the one of the full program. Whole choices among the
columns are then a small program.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import LinearConstraint, linprog, milp

from fpsim.quant.allocation.highs import silent
from fpsim.quant.allocation.problem import Problem
from fpsim.quant.allocation.totals import Choice, cost_of

Floats = NDArray[np.float64]
#: Of new columns, and of limits that are narrowed because a solution within the solver's tolerances is beyond them.
_ROUNDS, _TRIES = 80, 6


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """Arrays in which infinities are large numbers, and costs are parts of their limits."""

    harm: Floats  # [layers, weight formats]
    harm_acts: Floats  # [layers, activation formats, bins]
    weights: Floats  # [budgets, layers, weight formats]
    pairs: Floats  # [budgets, layers, weight formats, activation formats, bins]


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Choices of one layer each: ``layer [n]``, ``weights [n]``, ``acts [n, bins]``."""

    layer: NDArray[np.intp]
    weights: NDArray[np.intp]
    acts: NDArray[np.intp]

    def with_more(self, other: _Columns) -> _Columns:
        """Both, each column once."""
        rows = np.concatenate([self._rows(), other._rows()])
        rows = rows[np.sort(np.unique(rows, axis=0, return_index=True)[1])]
        return _Columns(rows[:, 0], rows[:, 1], rows[:, 2:])

    def _rows(self) -> NDArray[np.intp]:
        return np.concatenate([self.layer[:, None], self.weights[:, None], self.acts], axis=1)

    def figures(self, data: _Prepared) -> tuple[Floats, Floats]:
        """Harm ``[n]`` and cost of each budget ``[budgets, n]``."""
        bins = np.arange(self.acts.shape[1])[None]
        at, chosen = self.layer[:, None], self.weights[:, None]
        harm = data.harm[self.layer, self.weights] + data.harm_acts[at, self.acts, bins].sum(axis=1)
        pairs = data.pairs[:, at, chosen, self.acts, bins].sum(axis=2)
        return harm, data.weights[:, self.layer, self.weights] + pairs


def search(problem: Problem, gap: float, end: float) -> tuple[Choice | None, float]:
    """Return an assignment within all limits, None if none was found, and a bound that no assignment is below.

    Args:
        problem: with activations and at least one budget.
        gap: relative, at which the last program stops.
        end: of ``time.monotonic``.
    """
    data, parts = _prepared(problem)
    prices = np.zeros(len(parts))
    columns, bound = _priced(data, prices, parts)
    for place in range(len(parts)):  # the cheapest for each budget: with these the program has a solution early
        alone = np.zeros(len(parts))
        alone[place] = 1e6 * (1.0 + abs(bound))
        columns = columns.with_more(_priced(data, alone, parts)[0])
    for _ in range(_ROUNDS):
        prices, value = _master(data, columns, parts)
        if not np.isfinite(prices).all():
            break
        fresh, found = _priced(data, prices, parts)
        bound = max(bound, found)
        if value - bound <= 1e-7 * abs(value) or time.monotonic() > end:
            break
        columns = columns.with_more(fresh)
    return _whole(problem, data, columns, parts, gap, end), bound


def _prepared(problem: Problem) -> tuple[_Prepared, Floats]:
    assert problem.harm_acts is not None, "only with activations"
    layers, formats = problem.harm.shape
    count = len(problem.budgets)
    weights = np.zeros((count, layers, formats))
    pairs = np.zeros((count, layers, formats, *problem.harm_acts.shape[1:]))
    limits = np.zeros(count)
    for place, budget in enumerate(problem.budgets):
        limits[place] = float(budget.limit) - budget.fixed
        if budget.weights is not None:
            weights[place] = budget.weights
        if budget.acts is not None:
            pairs[place] += budget.acts[:, None]
        if budget.pairs is not None:
            pairs[place] += budget.pairs
    scale = np.maximum(np.minimum(limits, weights.sum((1, 2)) + pairs.sum((1, 2, 3, 4))), 1e-290)
    finite = [values[np.isfinite(values)] for values in (problem.harm, problem.harm_acts)]
    huge = 1e3 * (1.0 + sum(float(np.abs(values).sum()) for values in finite))
    data = _Prepared(
        harm=np.where(np.isposinf(problem.harm), huge, problem.harm),
        harm_acts=np.where(np.isposinf(problem.harm_acts), huge, problem.harm_acts),
        weights=weights / scale[:, None, None],
        pairs=pairs / scale[:, None, None, None, None],
    )
    return data, limits / scale


def _priced(data: _Prepared, prices: Floats, parts: Floats) -> tuple[_Columns, float]:
    """The best column of each layer at some prices, and the Lagrangian bound."""
    each = data.harm_acts[:, None] + np.tensordot(prices, data.pairs, axes=1)
    total = data.harm + np.tensordot(prices, data.weights, axes=1) + each.min(axis=2).sum(axis=2)
    weights = total.argmin(axis=1)
    layers = np.arange(len(weights))
    acts = each[layers, weights].argmin(axis=1)
    return _Columns(layers, weights, acts), math.fsum(total[layers, weights].tolist()) - float(prices @ parts)


def _master(data: _Prepared, columns: _Columns, parts: Floats) -> tuple[Floats, float]:
    """Prices of the budgets and the value of the linear program over the columns; exceeding a limit is dear."""
    harm, costs = columns.figures(data)
    dear = 10.0 * (1.0 + float(np.abs(harm).sum()))
    one = sparse.csr_matrix((np.ones(len(harm)), (columns.layer, np.arange(len(harm)))))
    equal = sparse.hstack([one, sparse.csr_matrix((one.shape[0], len(parts)))])
    below = sparse.hstack([sparse.csr_matrix(costs), -sparse.identity(len(parts))])
    scale = max(float(np.abs(harm).max()), 1e-300)
    with silent():
        found = linprog(
            np.concatenate([harm, np.full(len(parts), dear)]) / scale,
            A_ub=below,
            b_ub=parts,
            A_eq=equal,
            b_eq=np.ones(one.shape[0]),
            method="highs",
        )
    if found.status != 0:
        return np.full(len(parts), math.nan), math.nan
    return -found.ineqlin.marginals * scale, float(found.fun) * scale


def _whole(
    problem: Problem, data: _Prepared, columns: _Columns, parts: Floats, gap: float, end: float
) -> Choice | None:
    """Whole choices among the columns, within the exact limits."""
    harm, costs = columns.figures(data)
    one = sparse.csr_matrix((np.ones(len(harm)), (columns.layer, np.arange(len(harm)))))
    limits = parts * (1 - 1e-12)
    for attempt in range(_TRIES):
        result = _small(harm, one, costs, limits, gap, max(end - time.monotonic(), 1.0))
        if result.x is None:
            return None
        chosen = [np.flatnonzero(columns.layer == i) for i in range(one.shape[0])]
        place = [int(each[result.x[each].argmax()]) for each in chosen]
        choice = Choice(columns.weights[place], columns.acts[place])
        over = np.array([cost_of(b, choice) / max(float(b.limit), 1e-290) - 1 for b in problem.budgets])
        if all(cost_of(b, choice) <= b.limit for b in problem.budgets):
            return choice
        limits = limits - np.where(over > 0, 2.0**attempt * np.maximum(over, 1e-9), 0.0) * parts
    return None


def _small(harm: Floats, one: Any, costs: Floats, limits: Floats, gap: float, seconds: float) -> Any:
    scale = max(float(np.abs(harm).sum()), 1e-300) / 1e5
    with silent():
        return milp(
            harm / scale,
            integrality=np.ones(len(harm)),
            bounds=(0, 1),
            constraints=[
                LinearConstraint(one, 1, 1),
                LinearConstraint(sparse.csr_matrix(1e5 * costs), -np.inf, 1e5 * limits),
            ],
            options={"mip_rel_gap": gap / 2, "time_limit": seconds},
        )
