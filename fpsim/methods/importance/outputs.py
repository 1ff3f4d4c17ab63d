"""What one quantized layer does to the denoiser's output at the full-precision model's latents, measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fpsim.methods.allocation_data import runs
from fpsim.methods.importance.harm import Floats
from fpsim.methods.importance.job import ImportanceJob, identity
from fpsim.quant.policy import TensorSpec


def output_noise(job: ImportanceJob) -> tuple[NDArray[np.float64], Floats, Floats | None]:
    """Measure each layer in each format alone, the others in full precision.

    Returns:
        Energies of the denoiser's output in full precision, ``[calls]``; of the error that each weight format makes,
        ``[layers, formats, calls]``; and each activation format, None without any.
    """
    calls = runs(job.model, job.probes.calls)
    with torch.no_grad():
        exact = [call() for call in calls]
    signal = np.array([_energy(output) for output in exact])
    total = len(job.layers) * (len(job.weights) + len(job.acts))
    done = [0]

    def measured(kind: str, specs: Sequence[TensorSpec | None]) -> Floats:
        found = np.zeros((len(job.layers), len(specs), len(calls)))
        for i, name in enumerate(job.layers):
            for j, spec in enumerate(specs):
                if spec is not None:
                    key = f"output {kind} {name} {identity(spec, job.bins if kind == 'acts' else None)}"
                    found[i, j] = job.store.get(key, partial(_noise, job, name, kind, spec, calls, exact))
                done[0] += 1
                job.progress("one layer quantized", done[0], total)
        return found

    weights = measured("weights", job.weights)
    return signal, weights, measured("acts", job.acts) if job.acts else None


def _noise(
    job: ImportanceJob,
    name: str,
    kind: str,
    spec: TensorSpec,
    calls: Sequence[Callable[[], Any]],
    exact: Sequence[Tensor],
) -> list[float]:
    formats: dict[str, Any] = {"weights": spec} if kind == "weights" else {"acts": job.over_bins(spec)}
    with job.quantized(name, **formats), torch.no_grad():
        return [_energy(call().double() - was.double()) for call, was in zip(calls, exact, strict=True)]


def _energy(x: Tensor) -> float:
    return float(x.double().square().sum())
