"""What an allocation refuses: problems that make no sense, and budgets that cannot be kept."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from problems import random_problem

from fpsim.errors import FpsimError
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.solve import solve
from fpsim.quant.allocation.totals import range_of


def test_short_budgets_say_by_how_much() -> None:
    problem = random_problem(3, acts=0)
    budget = problem.budgets[0]
    least, _ = range_of(problem, budget)
    short = replace(problem, budgets=(replace(budget, limit=least - 7),))
    with pytest.raises(FpsimError, match=re.escape(f"is 7 bytes below the cheapest assignment, which takes {least:,}")):
        solve(short)
    assert solve(replace(problem, budgets=(replace(budget, limit=least),))).used["size"].used == least


def test_budgets_that_exclude_each_other() -> None:
    one, other = np.array([[1, 9]]), np.array([[9, 1]])
    problem = Problem(
        layers=("x",),
        weights=("a", "b"),
        harm=np.zeros((1, 2)),
        budgets=(
            Budget(name="size", unit="bytes", limit=5, weights=one),
            Budget(name="work", unit="bit-operations", limit=5, weights=other),
        ),
    )
    with pytest.raises(
        FpsimError,
        match=r"no assignment keeps all budgets \(size, work\); work cannot be met: with the "
        r"others kept it takes at least 9 bit-operations, 4 more than the limit",
    ):
        solve(problem)


REFUSED = {
    "no layer": ({"layers": (), "harm": np.zeros((0, 2))}, "nothing to allocate: 0 layers"),
    "shape": ({"harm": np.zeros((2, 2))}, r"harm of weights has shape \[2, 2\], but \[1, 2\] is needed"),
    "NaN": ({"harm": np.array([[np.nan, 1]])}, "harm of weights holds NaN"),
    "-inf": ({"harm": np.array([[-np.inf, 1]])}, "only inf has a meaning"),
    "blocked": ({"harm": np.full((1, 2), np.inf)}, "layer 'x' can take none of the formats"),
    "acts alone": ({"acts": ("e4m3",)}, "activation formats and their harms come together"),
    "negative": ({"budgets": (Budget(name="n", unit="B", limit=1, weights=np.array([[-1, 1]])),)}, "a negative number"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(change: dict[str, object], message: str) -> None:
    good: dict[str, object] = {"layers": ("x",), "weights": ("a", "b"), "harm": np.zeros((1, 2))}
    Problem(**good)  # type: ignore[arg-type]
    with pytest.raises(FpsimError, match=message):
        Problem(**{**good, **change})  # type: ignore[arg-type]


def test_a_limit_that_is_no_number() -> None:
    problem = random_problem(3, acts=0)
    with pytest.raises(FpsimError, match="the budget of size is nan"):
        solve(replace(problem, budgets=(replace(problem.budgets[0], limit=float("nan")),)))
