"""Q-Diffusion's calibration data: what enters the denoiser at evenly spread steps of the full-precision sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from fpsim.methods.recorded_calls import Recorder
from fpsim.methods.rounding_calls import FIRST_INDEX
from fpsim.model.load import LoadedModel
from fpsim.model.timestep import ARGUMENT, in_training
from fpsim.sample.denoise import sample_batch
from fpsim.sample.spec import SampleSpec


def calibration_calls(
    model: LoadedModel, spec: SampleSpec, steps_kept: int, samples: int, on_step: Callable[[int, int], None]
) -> list[Mapping[str, Any]]:
    """Sample in full precision and return the denoiser's arguments at step indices 0, K, 2K …, K = steps // kept.

    Under classifier-free guidance a call holds conditional and unconditional inputs together, as it entered the
    denoiser. Steps are counted in calls of the denoiser: a sampler that makes two of them a step keeps more.

    Args:
        model: a loaded model, not quantized.
        spec: as for the run itself; the noise is that of no image of the run.
        steps_kept: how many steps.
        samples: images, each of which gives one item a kept step.
        on_step: told (finished, total) steps.

    Returns:
        Keyword arguments of the denoiser, on its device, one mapping a kept step and batch.
    """
    size = min(spec.batch_size, samples)
    ours = replace(spec, num_images=FIRST_INDEX + samples, batch_size=size)
    starts = range(FIRST_INDEX, FIRST_INDEX + samples, size)
    found: list[Mapping[str, Any]] = []
    for batch, start in enumerate(starts):

        def step(done: int, total: int, batch: int = batch) -> None:
            on_step(batch * total + done, len(starts) * total)

        with _EveryKth(model.denoiser, _distance(spec.steps, steps_kept), steps_kept) as recorder:
            sample_batch(model, ours, range(start, min(start + size, FIRST_INDEX + samples)), on_step=step)
        found += recorder.calls
    device = next(model.denoiser.parameters()).device
    return [_on(call, device) for call in found]


def kept(timesteps: Sequence[float], steps: int, steps_kept: int) -> Sequence[float]:
    """Return the timesteps of the calls that calibration keeps.

    Args:
        timesteps: of all calls of the denoiser.
        steps: of sampling.
        steps_kept: how many are kept.

    >>> kept([900, 750, 600, 450, 300, 150, 0], 7, 3)
    [900, 600, 300]
    """
    return timesteps[:: _distance(steps, steps_kept)][:steps_kept]


def _distance(steps: int, steps_kept: int) -> int:
    return max(1, steps // steps_kept)


def timesteps_of(denoiser: nn.Module, calls: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the timesteps of training of a denoiser's calls, each once; none of one without a timestep."""
    given = [in_training(denoiser, torch.as_tensor(call[ARGUMENT])).flatten() for call in calls if ARGUMENT in call]
    return sorted(set(torch.cat(given).tolist())) if given else []


class _EveryKth(Recorder):
    """Keeps the calls number 0, K, 2K …, at most so many."""

    def __init__(self, denoiser: nn.Module, distance: int, most: int) -> None:
        super().__init__(denoiser)
        self.distance, self.most, self.number = distance, most, 0

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.number % self.distance == 0 and len(self.calls) < self.most:
            super()._keep(module, args, kwargs)
        self.number += 1


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _on(item, device) for key, item in value.items()}
    return value
