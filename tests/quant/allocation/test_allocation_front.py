"""Pareto fronts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from problems import random_problem

from fpsim.errors import FpsimError
from fpsim.quant.allocation.front import front, limits_of
from fpsim.quant.allocation.solve import solve


def test_each_point_is_the_solution_of_its_own_problem() -> None:
    problem = random_problem(1, acts=0, layers=6)
    limits = limits_of(problem, 9)
    told: list[tuple[int, int]] = []
    found = front(problem, limits, gap=0.0, on_point=lambda done, total: told.append((done, total)))
    assert told == [(i + 1, len(limits)) for i in range(len(limits))]
    for limit, point in zip(limits, found, strict=True):
        alone = solve(replace(problem, budgets=(replace(problem.budgets[0], limit=limit),)), gap=0.0)
        assert point.harm == pytest.approx(alone.harm, rel=1e-9)
        assert point.used["size"].used <= limit == point.used["size"].limit
    harms = [point.harm for point in found]
    assert harms == sorted(harms, reverse=True)
    assert harms[0] > harms[-1]


def test_a_solution_that_keeps_the_next_limit_is_kept() -> None:
    problem = random_problem(1, acts=0)
    _, most = limits_of(problem, 2)
    first, second = front(problem, [most + 10, most + 5])
    assert second.seconds == 0.0
    assert (first.weights == second.weights).all()


def test_limits_are_whole_where_costs_are() -> None:
    problem = random_problem(5)
    by_name = {budget.name: limits_of(problem, 4, budget.name) for budget in problem.budgets}
    assert all(isinstance(limit, int) for limit in by_name["size"])
    assert [sorted(limits) for limits in by_name.values()] == list(by_name.values())


def test_refused() -> None:
    problem = random_problem(1, acts=0)
    with pytest.raises(FpsimError, match="a front of 1 points"):
        limits_of(problem, 1)
    with pytest.raises(FpsimError, match="there is no budget 'time' to vary; the problem has size"):
        front(problem, [1], "time")
