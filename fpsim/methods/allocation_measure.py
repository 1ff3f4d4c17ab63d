"""What is measured of a model's layers before formats are allocated to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from fpsim.errors import FpsimError
from fpsim.methods.allocation_data import Probes, batch_of, record_probes, runs
from fpsim.methods.allocation_latency import Network
from fpsim.methods.allocation_problem import check_limits, check_names
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.methods.importance import registry
from fpsim.methods.importance.harm import Harm
from fpsim.methods.importance.job import ImportanceJob
from fpsim.methods.importance.store import NumberStore
from fpsim.model.layer_sizes import LayerSize, layer_sizes
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.samples import collect
from fpsim.model.split import find_splits
from fpsim.model.timestep import trained
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.policy import Policy
from fpsim.sample import schedulers
from fpsim.sample.store import RunFolder

#: progress(what is running, finished parts of it, all its parts)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What is known of a model's layers before any budget.

    Args:
        harm: of each choice.
        sizes: of each layer, in the order in which they run.
        bins: of the timestep.
        shares: which part of the sampler's calls lies in each bin.
        split: split indices by layer.
        timesteps: that were probed.
        network: the denoiser, for what it costs on a device.
    """

    harm: Harm
    sizes: Mapping[str, LayerSize]
    bins: TimestepBins
    shares: NDArray[np.float64]
    split: Mapping[str, int]
    timesteps: tuple[float, ...]
    network: Network


def measure(request: AllocationRequest, model: LoadedModel, folder: Path | None, progress: Progress) -> Measured:
    """Measure each layer in each format, or what is left of it.

    Args:
        request: formats, measure, sampling.
        model: the loaded model; it is left as it was.
        folder: where finished measurements are kept, for this budget and for others; None keeps nothing.
        progress: told about each finished part.

    Raises:
        FpsimError: a glob that matches no layer, a layer without calibration data, a format that a layer cannot take,
            an option that the measure does not take, a budget below the cheapest assignment, or a folder of another
            measurement.
    """
    job, sizes = _job(request, model, folder, progress)
    _ = job.shares  # a bin without a probe is refused before anything is measured
    shares = np.array(job.bins.shares(_timesteps(request, model, job.probes)))
    images = min(request.spec.batch_size, request.images)  # more samples than images: the pipeline guides
    network = Network(module=model.denoiser, guided=batch_of(job.probes.calls[0]) > images)
    check_limits(request, sizes, network, shares, job.split)
    return Measured(
        sizes=sizes,
        harm=registry.measure(request.measure).harm(job),
        bins=job.bins,
        shares=shares,
        split=job.split,
        timesteps=job.probes.timesteps,
        network=network,
    )


def _job(
    request: AllocationRequest, model: LoadedModel, folder: Path | None, progress: Progress
) -> tuple[ImportanceJob, dict[str, LayerSize]]:
    """Record the probes, and see which layers they run."""
    settings = registry.settings(request.measure, request.settings)
    request.spec.check_kind(model.kind)
    layers = _layers(model.denoiser, request.skip)
    check_names(request, list(layers))
    split = {name: at for name, at in find_splits(model.denoiser, request.split).items() if name in layers}
    probes = _probes(request, model, folder, progress)
    first = probes.calls[0]
    sizes = layer_sizes(model.denoiser, list(layers), runs(model, [first])[0], batch_of(first))
    job = ImportanceJob(
        model=model,
        layers={name: layers[name] for name in sizes},
        weights=tuple(request.weights.values()),
        acts=request.chosen_acts,
        probes=probes,
        bins=TimestepBins.even(request.bins, trained(model.scheduler, request.bins)),
        samples=collect(model.denoiser, lambda _: [call() for call in runs(model, probes.calls)], split),
        spec=request.spec,
        split=split,
        settings=settings,
        store=NumberStore(None if folder is None else folder / "numbers.json"),
        progress=progress,
        backend=request.backend,
    )
    return job, sizes


def _timesteps(request: AllocationRequest, model: LoadedModel, probes: Probes) -> list[float]:
    """Of all calls of the sampler, not of the probes alone: a mean over the run is a mean over these."""
    if model.kind == "text-to-image":  # its pipeline may choose others than its scheduler; the probes were called so
        return list(probes.timesteps)
    scheduler = schedulers.make(request.spec.scheduler, model.scheduler)
    schedulers.set_steps(scheduler, request.spec.steps)
    return [float(t) for t in scheduler.timesteps]


def _probes(request: AllocationRequest, model: LoadedModel, folder: Path | None, progress: Progress) -> Probes:
    if folder is not None:
        _claim(folder, request.measured(model))
    path = None if folder is None else folder / "probes"

    def told(done: int, total: int) -> None:
        progress("calibration", done, total)

    return record_probes(model, request.spec, request.images, request.timesteps, path, told)


def _layers(model: nn.Module, skip: tuple[str, ...]) -> dict[str, nn.Module]:
    found = dict(quantizable(model))
    Policy().skip(*skip).resolve(found)  # a glob that matches nothing is refused
    left = {name: module for name, module in found.items() if not any(fnmatchcase(name, glob) for glob in skip)}
    if not left:
        raise FpsimError("no layer is left to allocate: the model has none that can be quantized, or --skip names all")
    return left


def _claim(folder: Path, config: dict[str, Any]) -> None:
    """Make the folder, or refuse one that belongs to another measurement."""
    try:
        RunFolder(folder, config)
    except FpsimError as error:
        raise FpsimError(str(error).replace("--out", "--work")) from error
