"""The initialization set of a format search: sketches of all that enters each layer in full precision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.methods.recorded_calls import run_calibration
from fpsim.methods.visited import Visited, check_timesteps
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.sketches import Taps
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
) -> dict[str, Sketch]:
    """Return a sketch of each layer's input over the set, or read what an earlier part of the run kept.

    Memory does not grow with the samples: about 0.5 MB a layer, at most 4 MB.

    Args:
        model: a loaded model, not quantized.
        spec: as for the run itself; the set has noise of its own.
        samples: how many images, each seen at every timestep.
        splits: split indices of layers whose halves have a sketch each.
        folder: where the sketches are kept.
        on_step: told (finished, total) scheduler steps.
        timesteps: those of the run, which the set must have seen.

    Returns:
        Sketches by layer, or by half, in the order in which the layers run.

    Raises:
        FpsimError: NaN enters a layer; what an earlier part kept is damaged, or lacks a timestep.
    """
    if not (folder / f"{FILE}.json").is_file():
        layers = [name for name, _ in quantizable(model.denoiser)]
        with Visited(model.denoiser) as visited, Taps(model.denoiser, layers, splits=splits) as taps:
            found = taps.all(lambda: run_calibration(model, spec, samples, on_step))
        _write(folder, found, visited.timesteps)
    else:
        on_step(1, 1)
    sketches, seen = _read(folder)
    check_timesteps(seen, timesteps, f"the initialization set {folder / FILE}.json")
    return sketches


def _write(folder: Path, found: Mapping[str, Sketch], timesteps: Sequence[float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {f"{i}_{key}": array for i, sketch in enumerate(found.values()) for key, array in sketch.arrays().items()}
    write_npz(folder / f"{FILE}.npz", arrays)
    with atomic(folder / f"{FILE}.json") as stream:  # last: its presence says that both are whole
        stream.write(json.dumps({"places": list(found), "timesteps": timesteps}).encode())


def _read(folder: Path) -> tuple[dict[str, Sketch], tuple[float, ...]]:
    arrays = read_npz(folder / f"{FILE}.npz")
    by_place: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in arrays.items():
        number, _, key = name.partition("_")
        by_place.setdefault(number, {})[key] = array
    try:
        record = json.loads((folder / f"{FILE}.json").read_text(encoding="utf-8"))
        sketches = {place: Sketch.of_arrays(by_place[str(i)]) for i, place in enumerate(record["places"])}
        return sketches, tuple(float(t) for t in record["timesteps"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise FpsimError(f"{folder / FILE}.json is damaged ({reason}): delete it and run again") from error
