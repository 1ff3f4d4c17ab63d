"""MixDQ's measure: the SQNR of the denoiser's output with one layer quantized, summed in decibels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpsim.methods.importance.harm import Floats, Harm
from fpsim.methods.importance.job import ImportanceJob
from fpsim.methods.importance.outputs import output_noise

DEFAULTS: dict[str, object] = {}
#: A format without any error counts as this many decibels: the sum must stay finite.
MOST_DB = 200.0


def harm(job: ImportanceJob) -> Harm:
    """Return −SQNR in decibels, so that the least sum is MixDQ's largest sum of SQNRs.

    Source: MixDQ (Zhao et al., ECCV 2024), its program for layers that decide image quality; its second program, by
    SSIM for layers that decide content, is not part of this measure.
    """
    signal, weights, acts = output_noise(job)
    found = None
    if acts is not None:
        by_bin = np.moveaxis(job.by_bin(np.moveaxis(acts, -1, 0)), 0, -1)
        found = _decibels(by_bin, job.by_bin(signal)) * job.shares
    return Harm(
        unit="minus SQNR of the denoiser's output in dB",
        weights=_decibels(weights.sum(axis=-1), signal.sum()),
        acts=found,
    )


def _decibels(noise: Floats, signal: NDArray[np.float64] | float) -> Floats:
    least = 10 ** (-MOST_DB / 10)
    return np.asarray(10 * np.log10(np.maximum(noise / signal, least)))
