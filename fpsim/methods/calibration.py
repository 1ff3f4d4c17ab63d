"""The calibration run: full precision on noise of its own, kept for static scales and for per-layer measurements."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.methods import probes
from fpsim.methods.kept import damaged
from fpsim.methods.visited import Visited, check_timesteps
from fpsim.model.load import LoadedModel
from fpsim.model.samples import LayerSample, collect
from fpsim.sample.denoise import sample_batch
from fpsim.sample.npz import atomic, read_npz, write_npz
from fpsim.sample.spec import SampleSpec

#: Calibration images have indices from here on, so that their noise is never that of an image of the run.
FIRST_INDEX = 1 << 24
#: Denoiser calls whose inputs are kept for per-layer measurements, evenly spread over the run.
PROBES = 3
#: Images of a probe: enough for a layer's error, small enough for a large model's memory.
PROBE_IMAGES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What the calibration run found.

    Args:
        samples: values that entered each layer, over all timesteps.
        probes: arguments of some of the denoiser's calls.
        timesteps: at which the denoiser was called, as float32 has them.
    """

    samples: Mapping[str, LayerSample]
    probes: tuple[Mapping[str, Any], ...]
    timesteps: tuple[float, ...]

    def calls(self, model: LoadedModel) -> list[Callable[[], Any]]:
        """Functions that call the denoiser with the probes' arguments."""
        device = next(model.denoiser.parameters()).device
        return [lambda probe=probe: model.denoiser(**_on(probe, device)) for probe in self.probes]  # type: ignore[misc]


def calibrate(
    model: LoadedModel,
    spec: SampleSpec,
    images: int,
    folder: Path,
    on_step: Callable[[int, int], None],
    split: Mapping[str, int] | None = None,
    timesteps: Sequence[float] = (),
) -> Calibration:
    """Run the full-precision model over all timesteps once, or read what an earlier run found.

    Args:
        model: a loaded model, not quantized.
        spec: as for the run itself.
        images: how many images.
        folder: where the result is kept for a resumed run.
        on_step: called with (finished, total) scheduler steps.
        split: layers of whose inputs both halves are sampled as well.
        timesteps: those of the run, as float32 has them, which the calibration must have seen.

    Raises:
        FpsimError: what an earlier run found is damaged, or lacks a timestep.
    """
    if (folder / "probes.json").is_file():
        on_step(1, 1)
        return _read_whole(folder, timesteps)
    recorder = _Recorder()

    def run(_model: nn.Module) -> None:
        for _ in _batches(model, spec, images, on_step):
            recorder.full = True

    hook = model.denoiser.register_forward_pre_hook(recorder, with_kwargs=True)
    try:
        with Visited(model.denoiser) as visited:
            samples = collect(model.denoiser, run, split)
    finally:
        hook.remove()
    _write(folder, Calibration(samples, recorder.probes(), visited.timesteps))
    return _read_whole(folder, timesteps)  # a resumed run computes with what was read, layout of tensors included


def _batches(model: LoadedModel, spec: SampleSpec, images: int, on_step: Callable[[int, int], None]) -> Iterator[range]:
    """Sample the calibration's images; yield the indices of each batch that is finished."""
    size = min(spec.batch_size, images)
    ours = replace(spec, num_images=FIRST_INDEX + images, batch_size=size)
    firsts = range(FIRST_INDEX, FIRST_INDEX + images, size)
    for batch, first in enumerate(firsts):
        indices = range(first, min(first + size, FIRST_INDEX + images))

        def step(done: int, total: int, batch: int = batch) -> None:
            on_step(batch * total + done, len(firsts) * total)

        sample_batch(model, ours, indices, on_step=step)
        yield indices


class _Recorder:
    """Keeps the arguments of the denoiser's calls, for the first few images of the first batch."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.full = False

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.full:
            return
        bound = dict(inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments)
        bound |= bound.pop("kwargs", {})
        batch = len(bound["sample"] if "sample" in bound else bound["hidden_states"])
        keep = sorted({0, batch // 2}) if batch > 1 else [0]  # of both halves under classifier-free guidance
        self.calls.append({key: _rows(value, batch, keep[:PROBE_IMAGES]) for key, value in bound.items()})

    def probes(self) -> tuple[dict[str, Any], ...]:
        """The kept calls, evenly spread, neither the first nor the last where there are enough."""
        count = len(self.calls)
        places = sorted({round((i + 0.5) * count / PROBES - 0.5) for i in range(PROBES)})
        return tuple(self.calls[place] for place in places)


def _rows(value: Any, batch: int, keep: list[int]) -> Any:
    """The kept images' part of an argument, on the CPU; what is no batch stays whole."""
    if isinstance(value, Tensor):
        mine = value[keep] if value.ndim and value.shape[0] == batch else value
        return mine.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _rows(item, batch, keep) for key, item in value.items()}
    return value


def _on(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _on(item, device) for key, item in value.items()}
    return value


def _write(folder: Path, found: Calibration) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = list(found.samples)
    arrays = {f"values_{i}": found.samples[name].values for i, name in enumerate(names)}
    each = {f"calls_{i}": found.samples[name].each for i, name in enumerate(names)}
    write_npz(folder / "samples.npz", arrays | {key: value for key, value in each.items() if value is not None})
    with atomic(folder / "samples.json") as stream:
        layers = [[name, found.samples[name].calls] for name in names]
        stream.write(json.dumps({"layers": layers, "timesteps": found.timesteps}).encode())
    probes.write(folder / "probes", found.probes)  # last: its presence says that all are whole


def _read_whole(folder: Path, timesteps: Sequence[float]) -> Calibration:
    """What a run kept, with every timestep."""
    found = _read(folder)
    check_timesteps(found.timesteps, timesteps, f"the calibration {folder}")
    return found


def _read(folder: Path) -> Calibration:
    arrays = read_npz(folder / "samples.npz")
    try:
        record = json.loads((folder / "samples.json").read_text(encoding="utf-8"))
        samples = {
            name: LayerSample(arrays[f"values_{i}"], calls, arrays.get(f"calls_{i}"))
            for i, (name, calls) in enumerate(record["layers"])
        }
        for name, sample in samples.items():
            sample.check(name)
        timesteps = tuple(float(t) for t in record["timesteps"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(folder, error) from error
    return Calibration(samples, probes.read(folder / "probes"), timesteps)
