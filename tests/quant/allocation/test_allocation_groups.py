"""Layers that share a format: groups by name, and the least harm among assignments that share."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from problems import every_choice, random_problem

from fpsim.errors import FpsimError
from fpsim.quant.allocation.front import front, limits_of
from fpsim.quant.allocation.groups import expanded, groups_of, merged
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.solve import solve
from fpsim.quant.allocation.totals import Choice, cost_of, harm_of

NAMES = ["conv_in", "a.to_q", "a.to_k", "a.to_v", "a.to_out", "b.to_q", "b.to_k", "conv_out"]


def test_layers_of_one_module_that_match() -> None:
    assert groups_of(NAMES, []).tolist() == list(range(8))
    assert groups_of(NAMES, ["*.to_[qkv]"]).tolist() == [0, 1, 1, 1, 2, 3, 3, 4]
    assert groups_of(NAMES, ["conv_*"]).tolist() == [0, 1, 2, 3, 4, 5, 6, 0], "the model itself is their module"
    assert groups_of(NAMES, ["a.to_[qk]", "a.to_[kv]"]).tolist() == [0, 1, 1, 1, 2, 3, 4, 5], "one in common"
    assert groups_of(NAMES, ["a.to_[kv]", "b.*", "a.to_[qk]"]).tolist() == [0, 1, 1, 1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("glob", "message"),
    [("*.to_x", "'*.to_x' matches no layer"), ("?.to_q", "matches only layers of different modules")],
)
def test_a_glob_that_joins_nothing(glob: str, message: str) -> None:
    with pytest.raises(FpsimError, match=message.replace("*", r"\*").replace("?", r"\?")):
        groups_of(NAMES, ["*.to_[qkv]", glob])


def shares(choice: Choice, groups: np.ndarray) -> bool:
    """Whether layers of a group have the same formats."""
    rows = choice.weights[:, None] if choice.acts is None else np.column_stack([choice.weights, choice.acts])
    return all((rows[groups == number] == rows[groups == number][0]).all() for number in groups)


def solved(problem: Problem, groups: np.ndarray) -> Allocation:
    return expanded(solve(merged(problem, groups), gap=0.0), problem, groups)


@pytest.mark.parametrize("seed", range(30))
def test_equals_exhaustive_search_among_those_that_share(seed: int) -> None:
    """Bytes, products and milliseconds; a format that one member cannot take; limits that some assignment meets."""
    shape = {"layers": 3} if seed % 2 else {"acts": 0, "layers": 5}
    problem = random_problem(seed, **shape)
    groups = np.random.default_rng(seed).integers(0, 2, len(problem.layers))
    groups = np.unique(groups, return_inverse=True)[1]
    fit = [choice for choice in every_choice(problem) if shares(choice, groups)]
    pick = fit[seed * 7 % len(fit)]
    limits = [cost_of(budget, pick) for budget in problem.budgets]
    limits = [limit if isinstance(limit, int) else limit * (1 + 1e-12) for limit in limits]
    problem = replace(
        problem, budgets=tuple(replace(b, limit=limit) for b, limit in zip(problem.budgets, limits, strict=True))
    )
    least = min(harm_of(problem, c) for c in fit if all(cost_of(b, c) <= b.limit for b in problem.budgets))
    found = solved(problem, groups)
    choice = Choice(found.weights, found.acts)
    assert shares(choice, groups)
    assert found.harm == harm_of(problem, choice) == pytest.approx(least, rel=1e-9)
    assert found.bound <= found.harm
    for budget in problem.budgets:
        use = found.used[budget.name]
        assert use.used == cost_of(budget, choice) <= use.limit == budget.limit
        assert use.least == pytest.approx(min(cost_of(budget, c) for c in fit), rel=1e-12)
        assert use.most == pytest.approx(max(cost_of(budget, c) for c in fit), rel=1e-12)


def test_a_front_of_groups() -> None:
    problem = random_problem(4, acts=0, layers=6)
    groups = np.array([0, 0, 1, 2, 2, 2])
    shared = merged(problem, groups)
    points = [expanded(point, problem, groups) for point in front(shared, limits_of(shared, 5), gap=0.0)]
    assert all(shares(Choice(point.weights, None), groups) for point in points)
    for point in points:
        budget = point.problem.budgets[0]
        assert len(point.problem.layers) == 6
        assert point.used[budget.name].limit == budget.limit >= point.used[budget.name].used
        alone = solve(replace(point.problem), gap=0.0)
        assert alone.harm <= point.harm * (1 + 1e-9), "sharing never helps"


def test_alone_nothing_changes() -> None:
    problem = random_problem(1)
    groups = groups_of(problem.layers, [])
    assert merged(problem, groups) is problem
    found = solve(problem)
    assert expanded(found, problem, groups) is found


def test_real_costs_of_a_group_are_rounded_up() -> None:
    """A sum rounds up or down; the sum over layers must keep every limit that the group keeps."""
    costs = np.random.default_rng(0).random((5, 200))
    budget = Budget(name="time", unit="ms", limit=9.0, weights=costs)
    names = tuple("abcde"), tuple(map(str, range(200)))
    problem = Problem(layers=names[0], weights=names[1], harm=np.zeros((5, 200)), budgets=(budget,))
    shared = merged(problem, np.array([0, 0, 0, 0, 1])).budgets[0].weights
    assert shared is not None
    exact = [math.fsum(column) for column in costs[:4].T]
    assert (shared[0] >= exact).all()
    assert shared[0] == pytest.approx(exact, rel=1e-14)
    assert (shared[1] == costs[4]).all()
