"""Budgets that no assignment keeps, and by how much."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from fpsim.errors import FpsimError
from fpsim.quant.allocation.highs import minimize
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.program import Program, build
from fpsim.quant.allocation.totals import cost_of


def check_budgets(problem: Problem, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse a budget below the cheapest assignment.

    Args:
        problem: its budgets.
        ranges: least and most of each budget, by name.

    Raises:
        FpsimError: such a budget; says by how much it is short.
    """
    for budget in problem.budgets:
        if math.isnan(budget.limit) or budget.limit < 0:
            raise FpsimError(f"the budget of {budget.name} is {budget.limit}; give a number above 0")
        least = ranges[budget.name][0]
        if budget.limit < least:
            raise FpsimError(
                f"the budget of {figure(budget.limit)} {budget.unit} ({budget.name}) is {figure(least - budget.limit)} "
                f"{budget.unit} below the cheapest assignment, which takes {figure(least)}; raise it or add narrower "
                "formats"
            )


def impossible_together(program: Program) -> FpsimError:
    """Return the error of budgets each of which can be kept alone: what the last one is short of beside the others."""
    *others, last = program.problem.budgets
    least = _least(replace(program.problem, budgets=tuple(others)), last)
    short = "" if least is None else f": with the others kept it takes at least {figure(least)} {last.unit}, "
    short += "" if least is None else f"{figure(least - last.limit)} more than the limit"
    names = ", ".join(budget.name for budget in program.problem.budgets)
    return FpsimError(f"no assignment keeps all budgets ({names}); {last.name} cannot be met{short}; raise one of them")


def _least(problem: Problem, budget: Budget) -> float | None:
    """The least that a budget takes while a problem's own budgets hold; None if that cannot be found."""
    whole = build(replace(problem, budgets=(*problem.budgets, budget)))
    if not problem.budgets:
        return None
    row = whole.rows[-1].toarray().ravel()
    row = row / max(row.max(), 1e-300)
    found = minimize(whole, row, whole.rows[:-1], whole.limits[:-1], seconds=10.0)
    return None if found.x is None else cost_of(budget, whole.choice(found.x))


def figure(value: float) -> str:
    """A number for a message: whole ones in full, others with six digits.

    >>> figure(1234567), figure(0.001234567)
    ('1,234,567', '0.00123457')
    """
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e18 else f"{value:,.6g}"
