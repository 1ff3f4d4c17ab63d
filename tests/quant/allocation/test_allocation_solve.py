"""The allocation against exhaustive search; limits that are never exceeded; what is refused."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import every_choice, exhaustive, random_problem

from fpsim.errors import FpsimError
from fpsim.quant.allocation.columns import search
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.solve import solve
from fpsim.quant.allocation.totals import Choice, cost_of, harm_of, range_of


@pytest.mark.parametrize("seed", range(50))
def test_equals_exhaustive_search(seed: int) -> None:
    """With activations and bins, weights alone, one and several budgets; limits met exactly by some assignment."""
    shape = {} if seed % 2 else {"acts": 0, "layers": 5, "formats": 4}
    problem = random_problem(seed, **shape)
    found = solve(problem, gap=0.0)
    assert found.harm == pytest.approx(exhaustive(problem), rel=1e-9)
    assert found.gap <= 1e-7
    for budget in problem.budgets:
        used = cost_of(budget, Choice(found.weights, found.acts))
        assert used == found.used[budget.name].used <= budget.limit


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
@settings(deadline=None, max_examples=40)
def test_a_limit_is_never_exceeded_by_a_byte(seed: int, place: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 2**33, (12, 5))
    budget = Budget(name="size", unit="bytes", limit=0, weights=sizes)
    problem = Problem(
        layers=tuple(map(str, range(12))),
        weights=tuple("abcde"),
        harm=rng.lognormal(0, 5, (12, 5)),
        budgets=(budget,),
    )
    least, most = range_of(problem, budget)
    limit = int(least + place * (most - least))
    found = solve(replace(problem, budgets=(replace(budget, limit=limit),)))
    exact = sum(int(sizes[i, chosen]) for i, chosen in enumerate(found.weights))
    assert exact <= limit
    assert found.used["size"].used == exact


@pytest.mark.parametrize("seed", range(40))
def test_huge_costs_whose_only_assignment_meets_the_limit(seed: int) -> None:
    """Beyond 1e9 units rows are divided; their rounding is no reason to refuse what keeps the limit exactly."""
    rng = np.random.default_rng(seed)
    sizes, acts = rng.integers(1, 2**34, (4, 1)), rng.random((4, 2, 1))
    size = Budget(name="size", unit="bytes", limit=int(sizes.sum()), weights=sizes)
    problem = Problem(
        layers=tuple("abcd"),
        weights=("x",),
        harm=np.zeros((4, 1)),
        acts=("y", "z"),
        harm_acts=rng.random((4, 2, 1)),
        budgets=(size, Budget(name="time", unit="ms", limit=4.0, acts=acts)),
    )
    assert solve(problem).used["size"].used == size.limit
    with pytest.raises(FpsimError, match="is 1 bytes below the cheapest assignment"):
        solve(replace(problem, budgets=(replace(size, limit=size.limit - 1), problem.budgets[1])))
    whole = solve(replace(problem, acts=(), harm_acts=None, budgets=(size,)))
    assert whole.used["size"].used == size.limit


def big(bins: int = 8) -> Problem:
    """300 layers, 6 formats, 8 bins, with sizes as real networks have them; budgets of weights and activations."""
    rng, bits = np.random.default_rng(0), np.array([2, 4, 4, 6, 8, 8])
    count, elements = rng.integers(1, 3000, (2, 300)) * 64
    size = count[:, None] * bits // 8 + 4 * rng.integers(16, 512, 300)[:, None]
    area = np.repeat((elements[:, None] * bits)[:, :, None], bins, axis=2)
    noise = 4.0**-bits
    return Problem(
        layers=tuple(map(str, range(300))),
        weights=tuple("abcdef"),
        harm=rng.lognormal(0, 2, (300, 1)) * noise * rng.lognormal(0, 0.3, (300, 6)),
        acts=tuple("abcdef"),
        harm_acts=rng.lognormal(0, 2, (300, 1, bins)) * noise[:, None] * rng.lognormal(0, 0.3, (300, 6, bins)),
        budgets=(
            Budget(name="weights", unit="bytes", limit=int(count.sum() * 4.5 / 8), weights=size),
            Budget(name="activations", unit="bits", limit=int(elements.sum() * bins * 5), acts=area),
        ),
    )


def test_a_whole_network_in_time() -> None:
    began = time.perf_counter()
    found = solve(big(), gap=1e-3)
    assert found.gap <= 1e-3
    assert time.perf_counter() - began <= 60  # 30 s on an idle machine: bench/allocation measures it
    assert all(use.used <= use.limit for use in found.used.values())


def test_columns_give_a_true_bound_and_keep_all_limits() -> None:
    """Against exhaustive search, though only some columns are looked at; and the bound is close."""
    near = 0
    for seed in range(25):
        problem, end = random_problem(seed), time.monotonic() + 10
        choice, bound = search(problem, 0.0, end)
        least = exhaustive(problem)
        assert bound <= least + 1e-9 * abs(least)
        if choice is not None:
            assert all(cost_of(budget, choice) <= budget.limit for budget in problem.budgets)
            assert harm_of(problem, choice) >= least - 1e-9 * abs(least)
            near += harm_of(problem, choice) <= 1.001 * least
    assert near >= 18


def test_coupled_budgets_of_a_whole_network_in_time() -> None:
    """Bit-operations couple weights with activations: 300 x 6 x 6 x 8 products."""
    whole = big()
    bits = np.array([2, 4, 4, 6, 8, 8])
    macs = np.random.default_rng(1).integers(1, 10**9, 300)
    pairs = np.repeat((macs[:, None, None] * np.outer(bits, bits))[..., None], 8, axis=3)
    budget = Budget(name="work", unit="bit-operations", limit=int(pairs.max(axis=(1, 2)).sum() * 0.3), pairs=pairs)
    began = time.perf_counter()
    found = solve(replace(whole, budgets=(*whole.budgets, budget)), gap=1e-3)
    assert found.gap <= 1e-3
    assert time.perf_counter() - began <= 60
    assert all(use.used <= use.limit for use in found.used.values())


def test_of_equal_harm_the_better_tie_that_costs_no_more() -> None:
    harm = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    ties = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    size = np.array([[5, 5, 6], [7, 7, 7]])
    problem = Problem(
        layers=("x", "y"),
        weights=("a", "b", "c"),
        harm=harm,
        ties=ties,
        budgets=(Budget(name="size", unit="bytes", limit=12, weights=size),),
    )
    assert list(solve(problem).weight_formats().values()) == ["b", "a"]


def test_ties_of_activations_and_pairs() -> None:
    pairs = np.array([2, 2, 1]).reshape(1, 1, 3, 1).repeat(2, axis=3)
    problem = Problem(
        layers=("x",),
        weights=("a",),
        harm=np.zeros((1, 1)),
        acts=("p", "q", "r"),
        harm_acts=np.array([1.0, 1.0, 5.0]).reshape(1, 3, 1).repeat(2, axis=2),
        ties_acts=np.array([[[2.0, 1.0], [1.0, 2.0], [0.0, 0.0]]]),
        budgets=(Budget(name="work", unit="bit-operations", limit=4, pairs=pairs),),
    )
    assert solve(problem).act_formats() == {"x": ("q", "p")}


@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_and_the_dearest_assignment(seed: int) -> None:
    """Against all of them; and the cheapest is found at exactly its own cost, in whole and in real numbers."""
    problem = random_problem(seed)
    for budget in problem.budgets:
        costs = [cost_of(budget, choice) for choice in every_choice(problem)]
        assert range_of(problem, budget) == (min(costs), max(costs))
        found = solve(replace(problem, budgets=(replace(budget, limit=min(costs)),)), gap=0.0)
        assert found.used[budget.name].used == min(costs)


def test_a_fixed_part_counts() -> None:
    budget = Budget(name="time", unit="ms", limit=5.0, weights=np.array([[1.0, 2.0], [1.0, 2.0]]), fixed=2.5)
    problem = Problem(layers=("x", "y"), weights=("a", "b"), harm=np.array([[1.0, 0.0], [2.0, 0.0]]), budgets=(budget,))
    assert solve(problem).used["time"].used == 4.5
    assert range_of(problem, budget) == (4.5, 6.5)
    with pytest.raises(FpsimError, match=r"is 0\.5 ms below the cheapest assignment, which takes 4\.5"):
        solve(replace(problem, budgets=(replace(budget, limit=4.0),)))


def test_a_budget_above_the_dearest_is_noted() -> None:
    problem = random_problem(3, acts=0)
    _, most = range_of(problem, problem.budgets[0])
    found = solve(replace(problem, budgets=(replace(problem.budgets[0], limit=most + 1),)))
    assert found.notes() == [
        f"the budget of {most + 1:,.10g} bytes forbids nothing: the dearest assignment takes {most:,.10g}"
    ]
    assert found.harm == pytest.approx(problem.harm.min(axis=1).sum())
    assert solve(replace(problem, budgets=())).notes() == []


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """HiGHS writes to the C library's standard output whatever its options say; a verb's data must stay clean."""
    solve(big(bins=1))
    assert capfd.readouterr().out == ""
