"""The format search of layers' inputs: as the full-precision model has them, or behind the quantized prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from fpsim.methods.found_formats import FoundInput, binned_spec, places_of
from fpsim.methods.input_search import intervals, search_bin, search_input
from fpsim.methods.prefix import Operand, Progress, behind_prefix
from fpsim.methods.recorded_calls import run_calibration
from fpsim.model.binned import BinnedActivation
from fpsim.model.binned_sketch import BinnedSketch
from fpsim.model.layers import axes
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand
from fpsim.model.sketches import Taps
from fpsim.model.split import SplitActivation
from fpsim.model.split_build import weight as weight_operand
from fpsim.model.timestep import Clock
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.policy import TensorSpec
from fpsim.quant.search.candidates import Encoding
from fpsim.sample.spec import SampleSpec

#: What was found for each input, by its layer or half: for each bin of the timestep, or one for all timesteps.
Found = dict[str, tuple[FoundInput, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CapturedInputs:
    """Whose inputs are searched, and how they are captured.

    Args:
        model: the loaded model.
        spec: the calibration run's sampling.
        images: its images.
        layers: by name.
        splits: split indices of those whose halves have formats of their own.
        encodings: candidates.
        bins: of the timestep, each of which has a format of its own; None for one at all timesteps.
        progress: told about each finished part.
    """

    model: LoadedModel
    spec: SampleSpec
    images: int
    layers: Mapping[str, Any]
    splits: Mapping[str, int]
    encodings: tuple[Encoding, ...]
    bins: TimestepBins | None
    progress: Progress

    def search(self, place: str, sketch: BinnedSketch) -> tuple[FoundInput, ...]:
        """Return what a sketch of an input asks for."""
        if self.bins is None:
            found, excess = search_input(place, sketch.whole, self.encodings)
            return (FoundInput(result=found, excess=excess),)
        return tuple(search_bin(place, sketch, each, self.encodings) for each in intervals(self.bins))


def from_full_precision(how: CapturedInputs) -> Found:
    """Search all inputs from one run of the full-precision model.

    Raises:
        FpsimError: NaN in an input, or a timestep bin that holds no timestep.
    """

    def run() -> None:
        run_calibration(how.model, how.spec, how.images, lambda a, b: how.progress("calibration", a, b))

    with Taps(how.model.denoiser, list(how.layers), splits=how.splits, bins=how.bins) as taps:
        sketches = taps.all(run)
    found: Found = {}
    for done, place in enumerate(list(sketches), 1):
        found[place] = how.search(place, sketches.pop(place))
        how.progress("inputs", done, done + len(sketches))
    return found


def from_prefix(how: CapturedInputs, weights: Mapping[str, TensorSpec]) -> Found:
    """Search input by input as the layers run, each fixed before the next one's input is captured.

    Args:
        how: what is searched.
        weights: formats of the weights, by layer or half; empty leaves them alone.

    Raises:
        FpsimError: as above.
    """
    layers, splits = how.layers, how.splits
    rounded = {
        name: weight_operand(name, module, tuple(weights[place] for place in places_of(name, splits)), None, splits)
        for name, module in layers.items()
        if weights
    }
    found: Found = {}

    def fix(name: str, sketches: Mapping[str, BinnedSketch], clock: Clock | None) -> Operand:
        found.update({place: how.search(place, sketch) for place, sketch in sketches.items()})
        operands = [_operand(place, layers[name], found[place], clock) for place in sketches]
        at = splits.get(name)
        return operands[0] if at is None else SplitActivation(operands[0], operands[1], at, axes(layers[name]).acts)

    behind_prefix(how.model, how.spec, how.images, layers, layers, splits, rounded, fix, how.progress, how.bins)
    return found


def _operand(place: str, module: nn.Module, found: Sequence[FoundInput], clock: Clock | None) -> ActivationOperand:
    operands = [ActivationOperand(each.result.quantizer(), single=axes(module).single) for each in found]
    if clock is None:
        return operands[0]
    return BinnedActivation(binned_spec(found), operands, clock, f"the input of {place}")
