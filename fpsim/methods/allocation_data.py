"""What mixed precision is measured on: calls of the denoiser, recorded at evenly spread steps of trajectories."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods import probes
from fpsim.methods.recorded_calls import Recorder, run_calibration
from fpsim.model.load import LoadedModel
from fpsim.model.timestep import in_training
from fpsim.sample.spec import SampleSpec

#: Timesteps that are probed, and images that pass each of them.
TIMESTEPS, IMAGES = 8, 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probes:
    """Recorded calls of a denoiser.

    Args:
        timesteps: S of them, in the order of the run.
        batches: for each timestep the arguments of its calls, one a batch of images.
    """

    timesteps: tuple[float, ...]
    batches: tuple[tuple[Mapping[str, Any], ...], ...]

    @property
    def calls(self) -> tuple[Mapping[str, Any], ...]:
        """All calls, timestep by timestep."""
        return tuple(call for batch in self.batches for call in batch)

    @property
    def call_timesteps(self) -> tuple[float, ...]:
        """The timestep of each of :attr:`calls`."""
        return tuple(t for t, batch in zip(self.timesteps, self.batches, strict=True) for _ in batch)


def record_probes(
    model: LoadedModel,
    spec: SampleSpec,
    images: int,
    timesteps: int,
    path: Path | None,
    on_step: Callable[[int, int], None],
) -> Probes:
    """Sample in full precision and keep the denoiser's arguments at evenly spread calls, or read what was kept.

    Args:
        model: a loaded model, not quantized.
        spec: as for a simulation; the noise is that of no image of one. ``batch_size`` images pass together.
        images: how many trajectories.
        timesteps: S, how many calls of each trajectory; fewer where the run has fewer.
        path: file name without suffix, for a run that goes on; None keeps nothing.
        on_step: told (finished, total) steps.

    Raises:
        FpsimError: no image or no timestep; a damaged file.
    """
    if images < 1 or timesteps < 1:
        raise FpsimError(f"{images} images at {timesteps} timesteps were asked for; give at least 1 of each")
    batches = -(-images // min(spec.batch_size, images))
    if path is not None and path.with_suffix(".json").is_file():
        on_step(1, 1)
        return _grouped(model.denoiser, probes.read(path), batches)
    with Recorder(model.denoiser) as recorder:
        run_calibration(model, spec, images, on_step)
    length = len(recorder.calls) // batches
    count = min(timesteps, length)
    places = [round((i + 0.5) * length / count - 0.5) for i in range(count)]
    kept = [_own(recorder.calls[batch * length + place]) for place in places for batch in range(batches)]
    if path is not None:
        probes.write(path, tuple(kept))
    return _grouped(model.denoiser, kept, batches)


def runs(model: LoadedModel, calls: Sequence[Mapping[str, Any]]) -> list[Callable[[], Tensor]]:
    """Return functions that repeat calls of the denoiser and return its output."""
    device = next(model.denoiser.parameters()).device
    return [lambda call=call: _output(model.denoiser(**_mapped(call, device))) for call in calls]  # type: ignore[misc]


def batch_of(call: Mapping[str, Any]) -> int:
    """Return how many samples a call holds."""
    return len(call["sample"] if "sample" in call else call["hidden_states"])


def _output(result: Any) -> Tensor:
    output: Tensor = result[0] if isinstance(result, tuple) else result.sample
    return output


def _grouped(denoiser: nn.Module, calls: Sequence[Mapping[str, Any]], batches: int) -> Probes:
    rows = tuple(tuple(calls[i : i + batches]) for i in range(0, len(calls), batches))
    times = tuple(float(in_training(denoiser, torch.as_tensor(row[0]["timestep"])).flatten()[0]) for row in rows)
    return Probes(timesteps=times, batches=rows)


def _own(value: Any) -> Any:
    """A copy with memory of its own: the same prompt enters every step, and a file holds no tensor twice."""
    if isinstance(value, Tensor):
        return value.clone()
    return {key: _own(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _mapped(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    return {key: _mapped(item, device) for key, item in value.items()} if isinstance(value, Mapping) else value
