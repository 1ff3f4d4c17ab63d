"""Random allocation problems, and their solution by trying everything."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.totals import Choice, cost_of, harm_of


def random_problem(seed: int, *, layers: int = 3, formats: int = 3, acts: int = 2, bins: int = 2) -> Problem:
    """A problem with budgets in whole bytes, in whole bit-operations of pairs, and in fractional milliseconds."""
    rng = np.random.default_rng(seed)
    harm_acts = rng.exponential(size=(layers, acts, bins)) if acts else None
    harm = rng.exponential(size=(layers, formats)) * 10.0 ** rng.integers(-9, 4)
    if formats > 1 and rng.random() < 0.3:
        harm[0, 0] = np.inf
    budgets = [Budget(name="size", unit="bytes", limit=0, weights=rng.integers(1, 100_000, (layers, formats)))]
    if acts:
        pairs = rng.integers(1, 1000, (layers, formats, acts, bins))
        budgets.append(Budget(name="work", unit="bit-operations", limit=0, pairs=pairs))
        budgets.append(Budget(name="time", unit="ms", limit=0, acts=rng.random((layers, acts, bins))))
    problem = Problem(
        layers=tuple(f"layer {i}" for i in range(layers)),
        weights=tuple(f"w{i}" for i in range(formats)),
        harm=harm,
        acts=tuple(f"a{i}" for i in range(acts)),
        harm_acts=harm_acts,
    )
    keep = [budget for budget in budgets if rng.random() < 0.7] or budgets[:1]
    # A limit that some assignment meets exactly: the hardest case for a solver's tolerances.
    choices = list(every_choice(problem))
    choice = choices[int(rng.integers(len(choices)))]
    return replace(problem, budgets=tuple(replace(budget, limit=cost_of(budget, choice)) for budget in keep))


def every_choice(problem: Problem) -> Iterator[Choice]:
    """All allowed assignments."""
    layers, bins = len(problem.layers), problem.bins
    slots = layers * bins if problem.acts else 0
    for weights in itertools.product(range(len(problem.weights)), repeat=layers):
        if not np.isfinite(problem.harm[np.arange(layers), weights]).all():
            continue
        for acts in itertools.product(range(len(problem.acts)), repeat=slots):
            yield Choice(np.array(weights), np.array(acts).reshape(layers, bins) if slots else None)


def exhaustive(problem: Problem) -> float:
    """The least harm of all assignments within the budgets; inf if there is none."""
    return min(
        (
            harm_of(problem, choice)
            for choice in every_choice(problem)
            if all(cost_of(budget, choice) <= budget.limit for budget in problem.budgets)
        ),
        default=np.inf,
    )
