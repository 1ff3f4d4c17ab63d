"""Layers that share one format: hardware fuses the projections of an attention, and gives them one kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.totals import Choice, cost_of, harm_of, range_of

Groups = NDArray[np.intp]
#: A sum of float64 costs is at most this part below the true one, for each term.
_ROUNDING = 2.0**-52


def groups_of(layers: Sequence[str], globs: Sequence[str]) -> Groups:
    """Return the number of each layer's group: layers of one parent module that match a glob are one group.

    Args:
        layers: names.
        globs: such as ``*.attn1.to_[qkv]``; groups of several globs that have a layer in common become one.

    Returns:
        int ``[layers]``, from 0 in the order of the first members; a layer that nothing matches is alone.

    Raises:
        FpsimError: a glob that matches no two layers of one parent.

    >>> groups_of(["a.to_q", "a.to_k", "b.to_q", "a.ff"], ["*.to_[qkv]"]).tolist()
    [0, 0, 1, 2]
    """
    numbers = np.arange(len(layers))
    parents = [name.rpartition(".")[0] for name in layers]
    for glob in globs:
        matched = np.array([fnmatchcase(name, glob) for name in layers], dtype=bool)
        shared = False
        for parent in dict.fromkeys(parents):
            members = matched & np.array([each == parent for each in parents])
            shared |= bool(members.sum() > 1)
            if members.any():
                numbers[np.isin(numbers, numbers[members])] = numbers[members].min()
        if not shared:
            found = "only layers of different modules" if matched.any() else "no layer"
            raise FpsimError(f"--share {glob!r} matches {found}; give a glob such as '*.to_[qkv]'")
    return np.asarray(np.unique(numbers, return_inverse=True)[1])


def merged(problem: Problem, groups: Groups) -> Problem:
    """Return the problem in which a group is one layer, whose harms and costs are the sums of its members'."""
    if len(np.unique(groups)) == len(groups):
        return problem
    first = np.unique(groups, return_index=True)[1]
    return replace(
        problem,
        layers=tuple(problem.layers[place] for place in first),
        harm=_summed(problem.harm, groups),
        harm_acts=_summed(problem.harm_acts, groups),
        ties=_summed(problem.ties, groups),
        ties_acts=_summed(problem.ties_acts, groups),
        budgets=tuple(_budget(each, groups) for each in problem.budgets),
    )


def expanded(allocation: Allocation, problem: Problem, groups: Groups) -> Allocation:
    """Return an allocation of groups as one of layers.

    Args:
        allocation: of :func:`merged`'s problem, perhaps with other limits.
        problem: of the layers; limits are the allocation's.
        groups: as given to :func:`merged`.
    """
    if len(np.unique(groups)) == len(groups):
        return allocation
    limits = [use.limit for use in allocation.used.values()]
    budgets = tuple(replace(each, limit=limit) for each, limit in zip(problem.budgets, limits, strict=True))
    whole = replace(problem, budgets=budgets)
    choice = Choice(allocation.weights[groups], None if allocation.acts is None else allocation.acts[groups])
    harm = harm_of(whole, choice)
    used = {}
    for budget, (name, use) in zip(budgets, allocation.used.items(), strict=True):
        least, most = range_of(whole, budget)
        used[name] = replace(use, used=cost_of(budget, choice), least=max(least, use.least), most=min(most, use.most))
    return replace(
        allocation,
        problem=whole,
        weights=choice.weights,
        acts=choice.acts,
        harm=harm,
        bound=min(allocation.bound, harm),
        used=used,
    )


def _summed(values: Any, groups: Groups) -> Any:
    """Sums over the members; whole numbers stay whole, and a forbidden choice of one is forbidden to all."""
    if values is None:
        return None
    total = np.zeros((int(groups.max()) + 1, *values.shape[1:]), dtype=values.dtype)
    np.add.at(total, groups, values)
    return total


def _budget(budget: Budget, groups: Groups) -> Budget:
    """Costs of groups; real numbers are rounded up, so that the sum over layers keeps a limit too."""
    counts = np.bincount(groups)
    up = np.where(counts > 1, 1.0 + _ROUNDING * counts, 1.0)

    def part(values: Any) -> Any:
        total = _summed(values, groups)
        whole = total is None or np.issubdtype(total.dtype, np.integer)
        return total if whole else total * up.reshape(-1, *[1] * (total.ndim - 1))

    return replace(budget, weights=part(budget.weights), acts=part(budget.acts), pairs=part(budget.pairs))
