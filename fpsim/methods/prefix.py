"""What enters each layer behind layers that are quantized already, one layer after the other as they run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.methods.recorded_calls import Recorder, run_calibration
from fpsim.model.binned_sketch import BinnedSketch
from fpsim.model.load import LoadedModel
from fpsim.model.operands import WeightOperand
from fpsim.model.sketches import Taps
from fpsim.model.timestep import Clock
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.sample.spec import SampleSpec

Operand = Callable[[Tensor], Tensor]
#: progress(what is running, finished parts of it, all its parts)
Progress = Callable[[str, int, int], None]


def behind_prefix(
    model: LoadedModel,
    spec: SampleSpec,
    images: int,
    layers: Collection[str],
    wanted: Collection[str],
    splits: Mapping[str, int],
    weights: Mapping[str, WeightOperand],
    fix: Callable[[str, Mapping[str, BinnedSketch], Clock | None], Operand | None],
    progress: Progress,
    bins: TimestepBins | None = None,
) -> None:
    """Capture layer by layer what enters it, each fixed before the next one's input is captured.

    The denoiser's inputs are those of the full-precision run; each layer costs one pass over all of them, up to it.

    Args:
        model: the loaded model; it is left as it was.
        spec: the calibration run's sampling.
        images: its images.
        layers: names of the layers.
        wanted: those whose input is captured.
        splits: split indices by layer.
        weights: what quantizes the weights, from the start.
        fix: given a layer, the sketches of its input, or of both halves, or none where they are not wanted, and what
            tells the timestep where there are bins, returns what quantizes that input from then on.
        progress: told about each finished part.
        bins: of the timestep, each of which has a sketch of its own; None for one sketch of all.

    Raises:
        FpsimError: no layer ran, or NaN enters one.
    """
    names = list(layers)
    with Recorder(model.denoiser) as recorder, Taps(model.denoiser, names) as taps:
        run_calibration(model, spec, images, lambda a, b: progress("calibration", a, b))
        calls = dict(taps.calls)
    if not calls:
        raise FpsimError("the calibration ran none of the model's layers, so there is no input to search")
    replays = recorder.replays()
    with Taps(model.denoiser, names, weights, splits, bins) as taps:
        for done, (name, count) in enumerate(calls.items(), 1):
            sketches = taps.one(name, replays, once=count == len(replays)) if name in wanted else {}
            taps.taps[name].operand = fix(name, sketches, taps.clock)
            progress("inputs", done, len(calls))
