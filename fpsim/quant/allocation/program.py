"""An allocation problem as the matrices of a mixed-integer linear program."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.totals import Choice

#: Rows of whole numbers are divided until their limit is at most the first: one unit then stays far above the solver's
#: tolerance of 1e-6. Other rows are divided to the second, at which the rounding of their sums stays far below it.
_WHOLE, _REAL = 1e9, 1e5
#: Part by which the limit of a row is raised whose whole numbers do not stay whole when divided: at 1e9 their rounding
#: passes the solver's tolerance, so that a limit met exactly would count as exceeded. Far below one unit.
_ROUNDED = 1e-14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """Minimize ``objective · v`` with ``equal v = right`` and ``rows v ≤ limits``; v in [0, 1].

    v is [weights: layers · formats | activations: layers · formats · bins | pairs: layers · formats · formats · bins],
    the last part only where a budget has pairs; it is continuous, as whole choices make it whole.

    Args:
        scales: what each budget's row was divided by.
        allowed: upper bounds, 0 for forbidden choices.
    """

    problem: Problem
    objective: NDArray[np.float64]
    allowed: NDArray[np.float64]
    whole: NDArray[np.float64]
    equal: Any
    right: NDArray[np.float64]
    rows: Any
    limits: NDArray[np.float64]
    scales: NDArray[np.float64]

    def choice(self, v: NDArray[np.float64]) -> Choice:
        """Return the choices of a solution: of each group the variable that is (nearly) 1."""
        problem = self.problem
        layers, formats = problem.harm.shape
        weights = v[: layers * formats].reshape(layers, formats).argmax(axis=1)
        if problem.harm_acts is None:
            return Choice(weights, None)
        size = problem.harm_acts.size
        return Choice(weights, v[layers * formats :][:size].reshape(problem.harm_acts.shape).argmax(axis=1))


def build(problem: Problem) -> Program:
    """Return the program of a problem."""
    pairs = any(budget.pairs is not None for budget in problem.budgets)
    harm = [problem.harm.ravel()]
    if problem.harm_acts is not None:
        harm.append(problem.harm_acts.ravel())
    choices = np.concatenate(harm)
    extra = np.zeros(_pairs(problem) if pairs else 0)
    equal, right = _groups(problem, pairs)
    rows = [_row(problem, budget, pairs) for budget in problem.budgets]
    scales = np.array([_scale(budget, row) for budget, row in zip(problem.budgets, rows, strict=True)])
    limits = np.array([budget.limit - budget.fixed for budget in problem.budgets], dtype=np.float64)
    divided = [budget.whole and scale > _divisor(budget) for budget, scale in zip(problem.budgets, scales, strict=True)]
    limits = np.where(divided, limits * (1 + _ROUNDED), limits)
    return Program(
        problem=problem,
        objective=np.concatenate([np.where(np.isposinf(choices), 0.0, choices), extra]),
        allowed=np.concatenate([np.where(np.isposinf(choices), 0.0, 1.0), extra + 1]),
        whole=np.concatenate([np.ones(choices.size), extra]),
        equal=equal,
        right=right,
        rows=sparse.csr_matrix(np.array(rows).reshape(len(rows), -1) / scales[:, None]) if rows else None,
        limits=np.minimum(limits / scales, 1e15),
        scales=scales,
    )


def _pairs(problem: Problem) -> int:
    return problem.harm.size * len(problem.acts) * problem.bins


def _groups(problem: Problem, pairs: bool) -> tuple[Any, NDArray[np.float64]]:
    """One format a layer, one a layer and bin; and pairs that agree with both."""
    layers, formats = problem.harm.shape
    acts, bins = len(problem.acts), problem.bins
    of_weights = sparse.kron(sparse.identity(layers), np.ones((1, formats)))
    of_acts = sparse.kron(sparse.identity(layers), sparse.kron(np.ones((1, acts)), sparse.identity(bins)))
    if not acts:
        return of_weights.tocsr(), np.ones(layers)
    blocks = [[of_weights, None, None], [None, of_acts, None]]
    right = np.ones(layers + layers * bins)
    if not pairs:
        return sparse.bmat([row[:2] for row in blocks]).tocsr(), right
    one = sparse.identity
    to_weights = sparse.kron(one(layers * formats), sparse.kron(np.ones((1, acts)), one(bins)))
    to_acts = sparse.kron(one(layers), sparse.kron(np.ones((1, formats)), one(acts * bins)))
    repeat = sparse.kron(one(layers * formats), np.ones((bins, 1)))
    blocks += [[-repeat, None, to_weights], [None, -one(layers * acts * bins), to_acts]]
    zeros = np.zeros(layers * formats * bins + layers * acts * bins)
    return sparse.bmat(blocks).tocsr(), np.concatenate([right, zeros])


def _row(problem: Problem, budget: Budget, pairs: bool) -> NDArray[np.float64]:
    sizes = [problem.harm.size]
    if problem.harm_acts is not None:
        sizes.append(problem.harm_acts.size)
        sizes += [_pairs(problem)] if pairs else []
    parts = [
        np.zeros(size) if part is None else part.ravel().astype(np.float64)
        for size, part in zip(sizes, budget.parts(), strict=False)
    ]
    return np.concatenate(parts)


def _scale(budget: Budget, row: NDArray[np.float64]) -> float:
    """What a row is divided by: the common divisor of whole costs, and more where they are still huge."""
    largest = min(float(budget.limit), float(row.sum()))  # a limit beyond all costs together is no figure to scale by
    if not budget.whole:
        return max(largest, 1e-290) / _REAL
    return max(_divisor(budget), largest / _WHOLE)


def _divisor(budget: Budget) -> float:
    """The common divisor of whole costs, at least 1."""
    values = (int(v) for part in budget.parts() if part is not None for v in np.unique(part).tolist())
    return max(float(math.gcd(*values)), 1.0)
