"""From an allocation to an ordinary policy."""

from __future__ import annotations

import glob
from collections.abc import Sequence

from fpsim.errors import FpsimError
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.allocation.result import Allocation
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy import Policy, Rule, TensorSpec


def policy_of(
    allocation: Allocation,
    weights: Sequence[TensorSpec | None],
    acts: Sequence[TensorSpec | None] = (),
    bins: TimestepBins | None = None,
) -> Policy:
    """Return one rule a layer; layers that were not allocated have none, so they are left alone.

    Args:
        allocation: of the layers.
        weights: what its weight formats are, in the order of the problem; None leaves weights alone.
        acts: what its activation formats are; with one of them, every layer has it.
        bins: of the timestep, where activations have a format in each; None is one for all timesteps.

    Raises:
        FpsimError: a layer whose activations are in full precision in some bins only, which a policy cannot say.
    """
    rules = []
    for place, name in enumerate(allocation.problem.layers):
        chosen: TensorSpec | BinnedSpec | None = acts[0] if len(acts) == 1 else None
        if allocation.acts is not None:
            chosen = _input(name, [acts[choice] for choice in allocation.acts[place].tolist()], bins or TimestepBins())
        rules.append(Rule(match=glob.escape(name), weights=weights[allocation.weights[place]], acts=chosen))
    return Policy(tuple(rules))


def _input(name: str, specs: Sequence[TensorSpec | None], bins: TimestepBins) -> TensorSpec | BinnedSpec | None:
    """What an input is quantized to: always alike, or in each bin, where equal formats still have own scales."""
    if len(specs) == 1 or not any(specs):
        return specs[0]
    quantized = [spec for spec in specs if spec is not None]
    if len(quantized) != len(specs):
        raise FpsimError(
            f"layer {name!r} has activations in full precision at some timesteps only, which a policy does not say; "
            "leave 'none' out of the formats, or use 1 timestep bin"
        )
    return BinnedSpec.of(bins, quantized)
