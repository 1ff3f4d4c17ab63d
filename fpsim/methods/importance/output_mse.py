"""The measured squared error of the denoiser's output with one layer quantized, added up over layers."""

from __future__ import annotations

import numpy as np

from fpsim.methods.importance.harm import Harm
from fpsim.methods.importance.job import ImportanceJob
from fpsim.methods.importance.outputs import output_noise

DEFAULTS: dict[str, object] = {}


def harm(job: ImportanceJob) -> Harm:
    """Return noise over signal of the denoiser's output at the probes, one layer quantized at a time.

    The same measurement as ``sqnr``, but as powers instead of decibels: errors of independent layers add up as powers.
    """
    signal, weights, acts = output_noise(job)
    found = None
    if acts is not None:
        found = np.moveaxis(job.by_bin(np.moveaxis(acts, -1, 0)), 0, -1) / signal.sum()
    return Harm(
        unit="relative squared error of the denoiser's output",
        weights=weights.sum(axis=-1) / signal.sum(),
        acts=found,
    )
