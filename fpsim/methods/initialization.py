"""The initialization set of a format search: sketches of all that enters each layer in full precision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fpsim.methods.kept import damaged
from fpsim.methods.recorded_calls import run_calibration
from fpsim.methods.visited import Visited, check_timesteps
from fpsim.model.binned_sketch import BinnedSketch
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.sketches import Taps
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.search.sketch import Sketch
from fpsim.sample.npz import atomic, read_npz, write_npz
from fpsim.sample.spec import SampleSpec

#: Names of the files, without suffixes.
FILE = "initialization"


def initialization_sketches(
    model: LoadedModel,
    spec: SampleSpec,
    samples: int,
    splits: Mapping[str, int],
    folder: Path,
    on_step: Callable[[int, int], None],
    timesteps: Sequence[float] = (),
    bins: TimestepBins | None = None,
) -> dict[str, BinnedSketch]:
    """Return a sketch of each layer's input over the set, or read what an earlier part of the run kept.

    Memory does not grow with the samples: about 0.5 MB a layer and bin, at most 4 MB.

    Args:
        model: a loaded model, not quantized.
        spec: as for the run itself; the set has noise of its own.
        samples: how many images, each seen at every timestep.
        splits: split indices of layers whose halves have a sketch each.
        folder: where the sketches are kept.
        on_step: told (finished, total) scheduler steps.
        timesteps: those of the run, which the set must have seen.
        bins: of the timestep, each of which has a sketch of its own; None for one sketch of all.

    Returns:
        Sketches by layer, or by half, in the order in which the layers run.

    Raises:
        FpsimError: NaN enters a layer; what an earlier part kept is damaged, or lacks a timestep.
    """
    file = folder / _stem(bins)
    if not file.with_suffix(".json").is_file():
        layers = [name for name, _ in quantizable(model.denoiser)]
        with Visited(model.denoiser) as visited, Taps(model.denoiser, layers, splits=splits, bins=bins) as taps:
            found = taps.all(lambda: run_calibration(model, spec, samples, on_step))
        _write(file, found, visited.timesteps)
    else:
        on_step(1, 1)
    sketches, seen = _read(file)
    check_timesteps(seen, timesteps, f"the initialization set {file}.json")
    return sketches


def _stem(bins: TimestepBins | None) -> str:
    """The name of the set's files: rows whose bins have other edges have another set."""
    if bins is None or not bins.edges:
        return FILE
    return f"{FILE}-{hashlib.sha256(json.dumps(bins.edges).encode()).hexdigest()[:16]}"


def _write(file: Path, found: Mapping[str, BinnedSketch], timesteps: Sequence[float]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        f"{place}.{number}_{key}": array
        for place, whole in enumerate(found.values())
        for number, part in whole.parts.items()
        for key, array in part.arrays().items()
    }
    write_npz(file.with_suffix(".npz"), arrays)
    edges = next(iter(found.values())).bins.edges
    with atomic(file.with_suffix(".json")) as stream:  # last: its presence says that both are whole
        stream.write(json.dumps({"places": list(found), "edges": edges, "timesteps": timesteps}).encode())


def _read(file: Path) -> tuple[dict[str, BinnedSketch], tuple[float, ...]]:
    arrays = read_npz(file.with_suffix(".npz"))
    by_place: dict[str, dict[str, dict[str, NDArray[Any]]]] = {}
    for name, array in arrays.items():
        where, _, key = name.partition("_")
        place, _, number = where.partition(".")
        by_place.setdefault(place, {}).setdefault(number, {})[key] = array
    try:
        record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        bins = TimestepBins(tuple(float(edge) for edge in record["edges"]))
        sketches = {name: _sketch(bins, by_place[str(place)]) for place, name in enumerate(record["places"])}
        return sketches, tuple(float(t) for t in record["timesteps"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise damaged(file.with_suffix(".json"), error) from error


def _sketch(bins: TimestepBins, parts: Mapping[str, Mapping[str, NDArray[Any]]]) -> BinnedSketch:
    found = {int(number): Sketch.of_arrays(part) for number, part in parts.items()}
    wrong = [number for number in found if not 0 <= number < bins.count]
    if wrong:
        raise ValueError(f"there is no timestep bin {wrong[0]}")
    return BinnedSketch(bins, found)
