"""Mixed precision: measure layers, choose a format for each under budgets, and make a policy of it.

With the measure ``orm``, integer widths and a budget of weight bytes this is MPQ-Diff (Manz Maruzzelli, Lewandowski,
Chen 2024), as far as its abstract says it: orthogonality at uniformly sampled timesteps, exponential weighting, a
program under a memory budget, no training. The linear program is solved in whole widths. Any other measure, any
formats and any budgets go the same way.

Weights and activations are one program. With a budget on weights (``4bpw``) and one on activations (``6bpa``) it falls
into the two that MixDQ solves one after the other, since no term of the sum and no budget has both: the same choices
come out, but for ties. Budgets on operations or on time do tie them together. MixDQ's division of layers by content
and quality, with a program for each, is not included; ``--skip`` and a second call for the other layers come closest.
"""

from __future__ import annotations

from dataclasses import dataclass

from fpsim.methods.allocation_measure import Measured, Progress, measure
from fpsim.methods.allocation_problem import problem_of
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.quant.allocation.front import front, limits_of
from fpsim.quant.allocation.groups import expanded, groups_of, merged
from fpsim.quant.allocation.policies import policy_of
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.allocation.solve import solve
from fpsim.quant.policy import Policy

#: The measure and the widths of the paper; its own sets of widths are not known.
MEASURE, FORMATS = "orm", ("int2", "int3", "int4", "int5", "int6", "int7", "int8")
#: Relative gap of a front's points: less than a plot shows.
FRONT_GAP = 1e-3
__all__ = ["FORMATS", "MEASURE", "Allocated", "allocate", "measure"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allocated:
    """A model's allocation.

    Args:
        measured: what it is based on.
        allocation: the choice.
        front: allocations at other limits of the first budget, smallest first; none if they were not asked for.
        policy: the choice as a policy.
    """

    measured: Measured
    allocation: Allocation
    front: tuple[Allocation, ...]
    policy: Policy


def allocate(request: AllocationRequest, found: Measured, progress: Progress) -> Allocated:
    """Choose a format for each layer.

    Args:
        request: formats and budgets.
        found: from :func:`measure`.
        progress: told about points of the front.

    Raises:
        FpsimError: budgets that cannot be kept; says by how much.
    """
    problem = problem_of(request, found.harm, found.sizes, found.network, found.shares, found.split)
    groups = groups_of(problem.layers, request.share)
    shared = merged(problem, groups)
    allocation = expanded(solve(shared, gap=request.gap, seconds=request.seconds), problem, groups)
    points: list[Allocation] = []
    if request.front:
        limits = limits_of(shared, request.front)
        told = lambda done, total: progress("front", done, total)  # noqa: E731
        solved = front(shared, limits, gap=max(request.gap, FRONT_GAP), seconds=request.seconds, on_point=told)
        points = [expanded(point, problem, groups) for point in solved]
    weights, acts = tuple(request.weights.values()), tuple(request.acts.values())
    return Allocated(
        measured=found,
        allocation=allocation,
        front=tuple(points),
        policy=policy_of(allocation, weights, acts, found.bins),
    )
