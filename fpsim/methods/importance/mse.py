"""The mean squared error of each tensor by itself, relative to its mean square: no layer knows of the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.methods.allocation_data import runs
from fpsim.methods.importance.harm import Floats, Harm, noise_to_signal
from fpsim.methods.importance.job import ImportanceJob
from fpsim.methods.importance.operands import act_operands, rounded_weight
from fpsim.model.rounding_errors import input_errors, weight_error

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
            found[i, j] = noise_to_signal(*weight_error(*rounded_weight(job, name, spec)))
        job.progress("errors of weights", i + 1, len(job.layers))
    return found


def act_ratios(job: ImportanceJob) -> Floats:
    """Return the relative squared error of each input in each format and bin, ``[layers, formats, bins]``."""
    operands = act_operands(job)
    calls = _told(job, runs(job.model, job.probes.calls))
    energies = input_errors(job.model.denoiser, operands, calls)
    return np.stack([ratios_by_bin(job, energies[name]) for name in job.layers])


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
