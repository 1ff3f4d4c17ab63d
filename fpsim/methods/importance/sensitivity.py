"""The ground truth: one layer quantized over a whole sampling run, compared with the full-precision trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fpsim.methods.calibration import FIRST_INDEX
from fpsim.methods.importance.harm import Floats, Harm
from fpsim.methods.importance.job import ImportanceJob, identity
from fpsim.model.attach import Handle
from fpsim.model.timestep import in_training
from fpsim.quant.policy import TensorSpec
from fpsim.sample.denoise import sample_batch
from fpsim.sample.observe import StepRecord

DEFAULTS: dict[str, object] = {"sensitivity_images": 4}


def harm(job: ImportanceJob) -> Harm:
    """Return the squared error of the last latents that enter the denoiser, relative to their energy.

    Both runs start from the same noise, and each follows its own trajectory, so errors accumulate over the steps as
    they do in use. An activation format of one timestep bin is active in that bin alone.
    """
    exact = _last_latents(job)
    total = len(job.layers) * (len(job.weights) + len(job.acts) * job.bins.count)
    done = [0]

    def measured(kind: str, specs: Sequence[TensorSpec | None], bins: int) -> Floats:
        found = np.zeros((len(job.layers), len(specs), bins))
        for i, name in enumerate(job.layers):
            for j, k in np.ndindex(len(specs), bins):
                only = k if bins > 1 else None
                if specs[j] is not None:
                    found[i, j, k] = _kept(job, exact, kind, name, specs[j], only)
                done[0] += 1
                job.progress("one layer quantized", done[0], total)
        return found

    weights = measured("weights", job.weights, 1)[:, :, 0]
    acts = measured("acts", job.acts, job.bins.count) if job.acts else None
    return Harm(unit="relative squared error of the last latents", weights=weights, acts=acts)


def _kept(
    job: ImportanceJob,
    exact: NDArray[np.float64],
    kind: str,
    name: str,
    spec: TensorSpec | None,
    only: int | None,
) -> float:
    images = int(str(job.settings["sensitivity_images"]))
    where = "" if only is None else f" in {job.bins.label(only)}"
    key = f"sensitivity {images} {kind} {name} {identity(spec)}{where}"

    def compute() -> float:
        formats: dict[str, Any] = {kind: spec}
        with job.quantized(name, **formats, only=only) as handle, _in_bin(job, handle, only):
            return float(np.square(_last_latents(job) - exact).sum() / np.square(exact).sum())

    return float(job.store.get(key, compute))


def _last_latents(job: ImportanceJob) -> NDArray[np.float64]:
    """What enters the denoiser at its last call, over all images."""
    images = int(str(job.settings["sensitivity_images"]))
    size = min(job.spec.batch_size, images)
    spec = replace(job.spec, num_images=FIRST_INDEX + images, batch_size=size)
    found = []
    for first in range(FIRST_INDEX, FIRST_INDEX + images, size):
        last: list[StepRecord] = []

        def keep(record: StepRecord, last: list[StepRecord] = last) -> None:
            last[:] = [record]

        sample_batch(job.model, spec, range(first, min(first + size, FIRST_INDEX + images)), observer=keep)
        found.append(last[0].latents.astype(np.float64))
    return np.concatenate(found)


@contextmanager
def _in_bin(job: ImportanceJob, handle: Handle, only: int | None) -> Iterator[None]:
    """Let the quantized inputs pass unrounded outside one timestep bin."""
    if only is None:
        yield
        return

    def switch(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = torch.as_tensor(kwargs["timestep"] if "timestep" in kwargs else args[1])
        number = job.bins.of(float(in_training(job.model.denoiser, given).flatten()[0]))
        for operand in handle.acts.values():
            operand.active = number == only

    hook = job.model.denoiser.register_forward_pre_hook(switch, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
