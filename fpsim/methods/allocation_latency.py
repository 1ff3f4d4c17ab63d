"""A budget on the predicted time of the denoiser on a device."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fpsim import cost
from fpsim.cost.workload import Model, load
from fpsim.methods.allocation_request import Limit
from fpsim.quant.allocation.problem import Budget
from fpsim.quant.policy import Policy, Rule, TensorSpec

Specs = Sequence[TensorSpec | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A denoiser.

    Args:
        module: it, of which only the shapes are looked at, or a name of :func:`fpsim.cost.estimate` such as ``sd15``.
        guided: whether classifier-free guidance doubles its samples.
    """

    module: nn.Module | str
    guided: bool


def latency(
    limit: Limit, network: Network, names: Sequence[str], weights: Specs, acts: Specs, shares: NDArray[np.float64]
) -> Budget:
    """Return a budget on the time of a call of the denoiser for one image, as :func:`fpsim.cost.estimate` predicts it.

    The prediction is a sum over operations, each of which depends on its own layer's formats alone; so it is exact
    in the program: what an assignment takes is what ``fpsim cost --policy`` says of its policy at batch 1, with
    ``--cfg`` where the pipeline guides. Operations of no allocated layer are a fixed part. Where formats follow the
    timestep it is the mean over the sampler's calls. Devices whose time is that of launching kernels gain little by
    any format, and a difference below the prediction's interval is no promise.

    Args:
        limit: seconds, and the device.
        network: the denoiser.
        names: of the layers, in the order of the problem.
        weights: formats of the weights.
        acts: formats of the inputs; where there is one or none, they are no choice.
        shares: which part of the sampler's calls lies in each timestep bin.

    Raises:
        FpsimError: an unknown device, or a model that cannot be traced.
    """
    traced, inputs = load(network.module), acts or (None,)
    milliseconds = np.zeros((len(names), len(weights), len(inputs)))
    fixed = 0.0
    for i, j in np.ndindex(len(weights), len(inputs)):
        milliseconds[:, i, j], fixed = _times(limit.device, traced, network.guided, names, weights[i], inputs[j])
    how = {"weights": milliseconds[:, :, 0]} if len(inputs) == 1 else {"pairs": milliseconds[..., None] * shares}
    return Budget(name=f"time on {limit.device}", unit="ms", limit=1e3 * limit.value, fixed=fixed, **how)


def _times(
    device: str,
    traced: Model,
    guided: bool,
    names: Sequence[str],
    weights: TensorSpec | None,
    acts: TensorSpec | None,
) -> tuple[list[float], float]:
    """Milliseconds of each layer with all of them in one pair of formats, and of everything else."""
    policy = Policy(tuple(Rule(match=glob.escape(name), weights=weights, acts=acts) for name in names))
    found = cost.estimate(traced, device=device, policy=policy, batch=1, cfg=guided)
    each = dict.fromkeys(names, 0.0)
    rest = 0.0
    for timed in found.timed:
        if timed.work.layer in each:
            each[timed.work.layer] += 1e3 * timed.seconds
        else:
            rest += 1e3 * timed.seconds
    return list(each.values()), rest
