"""The exact solution of an allocation problem by branch and bound (HiGHS, through SciPy)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.quant.allocation.columns import search
from fpsim.quant.allocation.highs import minimize
from fpsim.quant.allocation.problem import Problem
from fpsim.quant.allocation.program import Program, build
from fpsim.quant.allocation.refused import check_budgets, impossible_together
from fpsim.quant.allocation.result import Allocation, Use
from fpsim.quant.allocation.ties import settle
from fpsim.quant.allocation.totals import Choice, cost_of, harm_of, range_of

#: The solver stops at this relative gap between its best assignment and its bound, or after so many seconds.
GAP, SECONDS = 1e-4, 30.0
#: HiGHS also stops at an absolute gap of 1e-6; scaled to this size, that is far below every relative one.
_SIZE = 1e4
#: How often a limit is narrowed because a solution within the solver's tolerances is beyond the true limit.
_TRIES = 6


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    choice: Choice
    bound: float


def solve(problem: Problem, *, gap: float = GAP, seconds: float = SECONDS) -> Allocation:
    """Return the assignment of least harm within all budgets.

    Args:
        problem: layers, harms, costs and limits.
        gap: the solver may stop once its assignment is proven to be within this part of the least harm.
        seconds: it stops after this time with the best assignment so far; the result's ``gap`` says how good it is.

    Returns:
        The assignment. Its costs, summed exactly, are within every limit.

    Raises:
        FpsimError: a limit below the cheapest assignment (says by how much), limits that cannot hold together, or no
            assignment found in time.
    """
    began = time.monotonic()
    ranges = {budget.name: range_of(problem, budget) for budget in problem.budgets}
    check_budgets(problem, ranges)
    found = _search(problem, gap, began, seconds)
    choice = settle(problem, found.choice)
    harm = harm_of(problem, choice)
    used = {
        b.name: Use(
            unit=b.unit, used=cost_of(b, choice), limit=b.limit, least=ranges[b.name][0], most=ranges[b.name][1]
        )
        for b in problem.budgets
    }
    return Allocation(
        problem=problem,
        weights=choice.weights,
        acts=choice.acts,
        harm=harm,
        bound=min(found.bound, harm),
        used=used,
        seconds=time.monotonic() - began,
    )


def _search(problem: Problem, gap: float, began: float, seconds: float) -> _Found:
    """By columns where activations are chosen, which is much faster; by the whole program where that is not enough."""
    columns: _Found | None = None
    if problem.harm_acts is not None and problem.budgets:
        choice, bound = search(problem, gap, began + seconds / 2)
        if choice is not None:
            columns, harm = _Found(choice, bound), harm_of(problem, choice)
            if harm - bound <= gap * abs(harm):
                return columns
    whole = _within_limits(problem, build(problem), gap, began + seconds)
    if columns is None:
        return whole
    better = min((whole, columns), key=lambda found: harm_of(problem, found.choice))
    return _Found(better.choice, max(whole.bound, columns.bound))


def _within_limits(problem: Problem, program: Program, gap: float, end: float) -> _Found:
    """Solve; where rounding to whole choices breaks a limit, solve again with that limit a little lower.

    The first bound holds for the true limits, so a narrowed limit costs at most a wider gap, never a wrong one.
    """
    limits, bound = program.limits.copy(), -math.inf
    for attempt in range(_TRIES):
        found = _run(program, limits, gap, end)
        bound = found.bound if attempt == 0 else bound
        over = [cost_of(b, found.choice) - b.limit for b in problem.budgets]
        if all(excess <= 0 for excess in over):
            return _Found(found.choice, bound)
        for i, excess in enumerate(over):
            if excess > 0:
                limits[i] -= 1.01 * 2**attempt * excess / program.scales[i]
    raise FpsimError("no assignment stays within the limits by more than rounding; raise a budget a little")


def _run(program: Program, limits: NDArray[np.float64], gap: float, end: float) -> _Found:
    relaxed = minimize(program, program.objective, program.rows, limits, relax=True)
    if relaxed.status == 2:
        raise impossible_together(program)
    least = abs(float(relaxed.fun)) if relaxed.fun is not None else 0.0
    scale = (least or float(np.abs(program.objective).max()) or 1.0) / _SIZE
    left = max(end - time.monotonic(), 1.0)
    result = minimize(program, program.objective / scale, program.rows, limits, gap=gap, seconds=left)
    if result.status == 2:
        raise impossible_together(program)
    if result.x is None:
        raise FpsimError(f"no assignment was found in time ({' '.join(str(result.message).split())}); give it longer")
    bound = float(result.mip_dual_bound) if result.mip_dual_bound is not None else float(relaxed.fun) / scale
    return _Found(program.choice(result.x), bound * scale)
