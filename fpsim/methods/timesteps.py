"""How far a quantized run has drifted from full precision at each call of the denoiser."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.tensor import sqnr_of_energies
from fpsim.sample.store import BatchStore


def timestep_errors(reference: BatchStore, store: BatchStore, batches: int) -> list[dict[str, Any]]:
    """Return for each call the SQNR in decibels of the denoiser's input and output over all images of a run.

    Both runs start from the same noise, and each follows its own trajectory: errors accumulate. The latent
    at the first call is the noise itself, so its SQNR is ``inf``.

    Args:
        reference: the full-precision batches, with trajectories.
        store: the quantized batches.
        batches: how many batches the run has.

    Raises:
        FpsimError: a batch has no trajectory.
    """
    times: NDArray[np.float32] | None = None
    energies: NDArray[np.float64] | None = None
    for number in range(batches):
        (_, exact), (_, ours) = reference.read(number), store.read(number)
        if exact is None or ours is None:
            raise FpsimError(f"batch {number} of {store.label!r} has no trajectory; delete the run and repeat it")
        found = np.array([_energies(exact.latents, ours.latents), _energies(exact.outputs, ours.outputs)])
        energies = found if energies is None else energies + found
        times = exact.timesteps
    if times is None or energies is None:
        return []
    latents, outputs = ([sqnr_of_energies(*pair) for pair in kind.T] for kind in energies)
    calls = enumerate(zip(times, latents, outputs, strict=True))
    return [{"step": i, "t": float(t), "latent_sqnr_db": a, "output_sqnr_db": b} for i, (t, a, b) in calls]


def _energies(exact: NDArray[np.float32], ours: NDArray[np.float32]) -> NDArray[np.float64]:
    """Signal and error energy of each call, ``[2, calls]``."""
    axes = tuple(range(1, exact.ndim))
    signal = np.square(exact, dtype=np.float64).sum(axis=axes)
    return np.stack([signal, np.square(exact.astype(np.float64) - ours).sum(axis=axes)])
