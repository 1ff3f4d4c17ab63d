"""The mean squared error of each tensor by itself, relative to its mean square: no layer knows of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.methods.allocation_data import runs
from fpsim.methods.importance.harm import Floats, Harm, noise_to_signal
from fpsim.methods.importance.job import ImportanceJob, identity
from fpsim.methods.importance.operands import act_operands, rounded_weight
from fpsim.model.rounding_errors import input_errors, weight_error
from fpsim.quant.policy import TensorSpec

DEFAULTS: dict[str, object] = {}


def harm(job: ImportanceJob) -> Harm:
    """Return Σ (w − ŵ)² / Σ w² of each weight, and the same of each input over the probes.

    Relative, so that tensors of different scales add up; a layer's relative output error is about their sum.
    """
    weights = weight_ratios(job)
    acts = act_ratios(job) * job.shares if job.acts else None
    return Harm(unit="relative squared error of the tensors", weights=weights, acts=acts)


def weight_ratios(job: ImportanceJob) -> Floats:
    """Return the relative squared error of each weight in each format, ``[layers, formats]``."""
    found = np.zeros((len(job.layers), len(job.weights)))
    for i, name in enumerate(job.layers):
        for j, spec in enumerate(job.weights):
            if spec is not None:
                key = f"mse weights {name} {identity(spec)}"
                found[i, j] = job.store.get(key, partial(_weight_ratio, job, name, spec))
        job.progress("errors of weights", i + 1, len(job.layers))
    return found


def act_ratios(job: ImportanceJob) -> Floats:
    """Return the relative squared error of each input in each format and bin, ``[layers, formats, bins]``."""
    told = " ".join(identity(spec, job.bins) for spec in job.acts)
    energies = job.store.get(f"mse inputs {sorted(job.layers)} {told}", partial(_input_energies, job))
    return np.stack([ratios_by_bin(job, np.array(energies[name])) for name in job.layers])


def _weight_ratio(job: ImportanceJob, name: str, spec: TensorSpec) -> float:
    return noise_to_signal(*weight_error(*rounded_weight(job, name, spec)))


def _input_energies(job: ImportanceJob) -> dict[str, list[list[float]]]:
    """Of each layer a row a call: the energy of the input, and of each format's error."""
    calls = _told(job, runs(job.model, job.probes.calls))
    found = input_errors(job.model.denoiser, act_operands(job), calls)
    return {name: energies.tolist() for name, energies in found.items()}


def ratios_by_bin(job: ImportanceJob, energies: NDArray[np.float64]) -> Floats:
    """Return noise over signal of each format and bin from energies ``[calls, 1 + formats]``, ``[formats, bins]``."""
    sums = job.by_bin(energies)
    return np.array([[noise_to_signal(row[0], row[1 + j]) for row in sums] for j in range(sums.shape[1] - 1)])


def _told(job: ImportanceJob, calls: Sequence[Callable[[], Any]]) -> list[Callable[[], Any]]:
    """The calls, each of which reports when it is finished."""

    def told(number: int, call: Callable[[], Any]) -> None:
        call()
        job.progress("errors of inputs", number, len(calls))

    return [partial(told, number, call) for number, call in enumerate(calls, 1)]
