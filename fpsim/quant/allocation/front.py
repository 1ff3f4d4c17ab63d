"""The Pareto front: the least harm at each of many limits of one budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fpsim.errors import FpsimError
from fpsim.quant.allocation.problem import Problem
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.solve import GAP, SECONDS, solve
from fpsim.quant.allocation.totals import range_of


def limits_of(problem: Problem, count: int, budget: str | None = None) -> list[float]:
    """Return limits from the cheapest to the dearest assignment, evenly spaced; whole where the costs are.

    Args:
        problem: with the budget.
        count: how many limits, at least 2.
        budget: its name; the first one if None.

    Raises:
        FpsimError: fewer than 2, or no such budget.
    """
    if count < 2:
        raise FpsimError(f"a front of {count} points was asked for; give at least 2")
    which = problem.budgets[_place(problem, budget)]
    least, most = range_of(problem, which)
    found = [least + (most - least) * i / (count - 1) for i in range(count - 1)] + [most]
    if which.whole:
        found = sorted({int(least), int(most), *(math.ceil(limit) for limit in found[1:-1])})
    return found


def front(
    problem: Problem,
    limits: Sequence[float],
    budget: str | None = None,
    *,
    gap: float = GAP,
    seconds: float = SECONDS,
    on_point: Callable[[int, int], Any] = lambda _done, _total: None,
) -> list[Allocation]:
    """Solve a problem at each of several limits of one of its budgets, the others as they are.

    A solution that also keeps the next smaller limit is the solution there, and is not searched again.

    Args:
        problem: with the budget, whose own limit does not matter.
        limits: in any order.
        budget: its name; the first one if None.
        gap, seconds: of each point, as for :func:`fpsim.quant.allocation.solve.solve`.
        on_point: told (finished, total).

    Returns:
        Allocations in the order of ``limits``.

    Raises:
        FpsimError: no such budget, or a limit that cannot be kept.
    """
    place = _place(problem, budget)
    found: dict[float, Allocation] = {}
    last: Allocation | None = None
    for done, limit in enumerate(sorted(set(limits), reverse=True), 1):
        budgets = list(problem.budgets)
        budgets[place] = replace(budgets[place], limit=limit)
        now = replace(problem, budgets=tuple(budgets))
        name = budgets[place].name
        if last is not None and last.used[name].used <= limit:
            used = {**last.used, name: replace(last.used[name], limit=limit)}
            last = replace(last, problem=now, used=used, seconds=0.0)
        else:
            last = solve(now, gap=gap, seconds=seconds)
        found[limit] = last
        on_point(done, len(set(limits)))
    return [found[limit] for limit in limits]


def _place(problem: Problem, budget: str | None) -> int:
    names = [each.name for each in problem.budgets]
    if not names or (budget is not None and budget not in names):
        raise FpsimError(f"there is no budget {budget!r} to vary; the problem has {', '.join(names) or 'none'}")
    return 0 if budget is None else names.index(budget)
