"""The integer program of a measured model: harms, budgets, and what the user forbids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.methods import allocation_costs
from fpsim.methods.allocation_latency import Network, latency
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.methods.importance.harm import Harm
from fpsim.model.layer_sizes import LayerSize
from fpsim.quant.allocation.groups import groups_of, merged
from fpsim.quant.allocation.problem import Budget, Problem
from fpsim.quant.allocation.refused import check_budgets
from fpsim.quant.allocation.totals import range_of

#: Shares of timestep bins are rounded; a limit that is met exactly must not fail by that.
_SHARES = 1e-14


def check_names(request: AllocationRequest, layers: Sequence[str]) -> None:
    """Refuse globs that match no layer, and layers that no format is left for, before anything is sampled.

    Raises:
        FpsimError: such a glob or layer.
    """
    groups = groups_of(layers, request.share)
    for option, only, names in (
        ("--only", request.only, tuple(request.weights)),
        ("--only-acts", request.only_acts, tuple(request.acts)),
    ):
        for glob in only:
            if not any(fnmatchcase(layer, glob) for layer in layers):
                raise FpsimError(f"{option} {glob!r} matches no layer that is allocated; check the glob and --skip")
        allowed = _allowed(layers, names, only)
        together = np.array([allowed[groups == number].all(axis=0) for number in groups])
        for layer, each in zip(layers, together, strict=True):
            if not each.any() and names:
                raise FpsimError(f"{option} leaves layer {layer!r} no format; its globs exclude each other")


def problem_of(
    request: AllocationRequest,
    harm: Harm,
    sizes: Mapping[str, LayerSize],
    network: Network,
    shares: NDArray[np.float64],
    split: Mapping[str, int],
) -> Problem:
    """Return the integer program of a measurement and budgets.

    Args:
        request: formats and budgets.
        harm: of each choice.
        sizes: of the layers.
        network: the denoiser, for what it costs on a device.
        shares: which part of the sampler's calls lies in each timestep bin.
        split: split indices by layer.

    Raises:
        FpsimError: a budget that does not fit what is chosen.
    """
    layers, names = list(sizes), tuple(request.weights)
    acts = harm.acts
    if acts is not None:
        acts = np.where(_allowed(layers, tuple(request.acts), request.only_acts)[..., None], acts, np.inf)
    return Problem(
        layers=tuple(layers),
        weights=names,
        harm=np.where(_allowed(layers, names, request.only), harm.weights, np.inf),
        acts=tuple(request.acts) if request.chosen_acts else (),
        harm_acts=acts,
        budgets=_budgets(request, sizes, network, shares, split),
        ties=harm.ties,
        ties_acts=harm.ties_acts,
    )


def check_limits(
    request: AllocationRequest,
    sizes: Mapping[str, LayerSize],
    network: Network,
    shares: NDArray[np.float64],
    split: Mapping[str, int],
) -> None:
    """Refuse budgets that no assignment keeps before anything is measured, which may take hours.

    Raises:
        FpsimError: a budget below the cheapest assignment, by how much; or an unknown device.
    """
    count, chosen = len(sizes), len(request.chosen_acts)
    none = Harm(
        unit="",
        weights=np.zeros((count, len(request.weights))),
        acts=np.zeros((count, chosen, len(shares))) if chosen else None,
    )
    problem = problem_of(request, none, sizes, network, shares, split)
    shared = merged(problem, groups_of(problem.layers, request.share))
    check_budgets(shared, {budget.name: range_of(shared, budget) for budget in shared.budgets})


def _budgets(
    request: AllocationRequest,
    sizes: Mapping[str, LayerSize],
    network: Network,
    shares: NDArray[np.float64],
    split: Mapping[str, int],
) -> tuple[Budget, ...]:
    weights, acts = tuple(request.weights.values()), tuple(request.acts.values())
    found = []
    for limit in request.limits:
        if limit.kind == "latency":
            budget = latency(limit, network, list(sizes), weights, acts, shares)
        else:
            budget = allocation_costs.budget(limit, sizes, weights, acts, shares, split)
        if len(shares) > 1 and not budget.whole:
            budget = replace(budget, limit=budget.limit * (1 + _SHARES))
        found.append(budget)
    return tuple(found)


def _allowed(layers: Sequence[str], names: Sequence[str], only: Mapping[str, tuple[str, ...]]) -> NDArray[np.bool_]:
    """Which formats each layer may have, ``[layers, formats]``: those that all globs that match it leave."""
    found = np.ones((len(layers), len(names)), dtype=bool)
    for glob, formats in only.items():
        matched = np.array([fnmatchcase(layer, glob) for layer in layers], dtype=bool)
        found[matched] &= np.array([name in formats for name in names], dtype=bool)
    return found
