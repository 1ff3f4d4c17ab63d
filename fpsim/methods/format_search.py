"""The format search of Chen et al. 2024 (Algorithm 1) over a whole model: weights first, then activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods.found_formats import LayerFormats, places_of, spec_of, weight_parts
from fpsim.methods.prefix import Operand, Progress, behind_prefix
from fpsim.methods.recorded_calls import run_calibration
from fpsim.model.layers import axes, quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand
from fpsim.model.sketches import Taps
from fpsim.model.split import SplitActivation, find_splits
from fpsim.model.split_build import weight as weight_operand
from fpsim.quant.granularity import Granularity, PerChannel, PerTensor
from fpsim.quant.policy import Policy
from fpsim.quant.search.candidates import Encoding, fractions_of
from fpsim.quant.search.result import SearchResult
from fpsim.quant.search.search import search_format, search_magnitudes
from fpsim.quant.search.sketch import Sketch
from fpsim.sample.spec import SampleSpec

Captured = Literal["full-precision", "quantized-prefix"]
CAPTURED: tuple[Captured, ...] = get_args(Captured)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSearch:
    """What to search.

    Args:
        weights, acts: candidate encodings; none leaves the weights or the inputs alone.
        channels: whether weights have a bias an output channel instead of one a tensor.
        captured: where layers' inputs come from: the ``full-precision`` model (the paper's text), or the
            ``quantized-prefix``: each layer's input with all weights and all earlier inputs quantized, at the
            full-precision model's latents.
        spec: the calibration run's sampling.
        images: samples of the initialization set: images of the calibration run, each seen at every timestep.
        skip: globs of layers that are left alone.
        split: which layers have formats of their own for both halves of the concatenation that enters them; see
            :func:`fpsim.model.split.find_splits`.

    Raises:
        FpsimError: nothing to search, or no image.
    """

    weights: tuple[Encoding, ...]
    acts: tuple[Encoding, ...]
    channels: bool
    captured: Captured
    spec: SampleSpec
    images: int
    skip: tuple[str, ...] = ()
    split: str = "none"

    def __post_init__(self) -> None:
        if not self.weights and not self.acts:
            raise FpsimError("there is nothing to search; give --bits, --weights-bits or --acts-bits")
        if self.images < 1:
            raise FpsimError(f"--init-samples {self.images}: at least 1 sample is needed")


def init_samples(kind: str) -> int:
    """Return how many samples the initialization set has for a kind of model.

    Source: Chen et al. 2024, VI-A: 128 for unconditional generation and 16 for text-to-image, "from all denoising
    timesteps"; a sample is taken here as one image, seen at every timestep.

    >>> init_samples("latent-unconditional"), init_samples("text-to-image")
    (128, 16)
    """
    return 16 if kind == "text-to-image" else 128


def search_formats(request: FormatSearch, model: LoadedModel, progress: Progress) -> list[LayerFormats]:
    """Search the format of each layer's weight and input.

    Args:
        request: what to search.
        model: the loaded model; it is left as it was.
        progress: told about each finished part.

    Returns:
        The layers in the order in which they run, or in that of the model's definition where no inputs are searched.

    Raises:
        FpsimError: a glob that matches no layer, NaN in a weight or an input, or no layer to search.
    """
    layers = _layers(model.denoiser, request.skip)
    splits = {name: at for name, at in find_splits(model.denoiser, request.split).items() if name in layers}
    weights: dict[str, SearchResult] = {}
    if request.weights:
        for done, (name, module) in enumerate(layers.items(), 1):
            for place, part in weight_parts(name, module, splits):
                weights[place] = _weight(place, part, module, request)
            progress("weights", done, len(layers))
    acts: dict[str, tuple[SearchResult, float]] = {}
    if request.acts:
        find = _from_full_precision if request.captured == "full-precision" else _from_prefix
        acts = find(request, model, layers, splits, weights, progress)
    places = [place for name in layers for place in places_of(name, splits)]
    order = [*acts, *(place for place in places if place not in acts)]
    return [
        LayerFormats(
            name=place,
            weights=weights.get(place),
            acts=acts[place][0] if place in acts else None,
            excess=acts[place][1] if place in acts else 0.0,
        )
        for place in order
    ]


def _layers(model: nn.Module, skip: tuple[str, ...]) -> dict[str, Any]:
    found = dict(quantizable(model))
    Policy().skip(*skip).resolve(found)  # a glob that matches nothing is refused
    left = {name: module for name, module in found.items() if not any(fnmatchcase(name, g) for g in skip)}
    if not left:
        raise FpsimError("no layer is left to search: the model has none that can be quantized, or --skip names all")
    return left


def _weight(place: str, part: Tensor, module: Any, request: FormatSearch) -> SearchResult:
    granularity: Granularity = PerChannel(axes(module).out) if request.channels else PerTensor()
    names = [encoding.name for encoding in request.weights]
    return search_format(part, encodings=names, granularity=granularity, name=f"{place}.weight")


def search_input(name: str, sketch: Sketch, encodings: tuple[Encoding, ...]) -> tuple[SearchResult, float]:
    """Return the best format of a layer's input, and by which part its error may be too large, at most.

    Raises:
        FpsimError: nothing entered the layer.
    """
    found = search_magnitudes(sketch.magnitudes(f"the input of {name!r}"), encodings, fractions_of())
    error = found.mse * sketch.total
    excess = sketch.excess(found.encoding.grid(), float(2.0 ** -found.bias[0]))
    return found, excess / error if error else 0.0


def _from_full_precision(
    request: FormatSearch,
    model: LoadedModel,
    layers: Mapping[str, Any],
    splits: Mapping[str, int],
    _weights: Mapping[str, SearchResult],
    progress: Progress,
) -> dict[str, tuple[SearchResult, float]]:
    def run() -> None:
        run_calibration(model, request.spec, request.images, lambda a, b: progress("calibration", a, b))

    with Taps(model.denoiser, list(layers), splits=splits) as taps:
        sketches = taps.all(run)
    found = {}
    for done, name in enumerate(list(sketches), 1):
        found[name] = search_input(name, sketches.pop(name), request.acts)
        progress("inputs", done, done + len(sketches))
    return found


def _from_prefix(
    request: FormatSearch,
    model: LoadedModel,
    layers: Mapping[str, Any],
    splits: Mapping[str, int],
    weights: Mapping[str, SearchResult],
    progress: Progress,
) -> dict[str, tuple[SearchResult, float]]:
    """Layer by layer as they run, each fixed before the next one's input is captured."""
    specs = {place: spec_of(result, channels=request.channels) for place, result in weights.items()}
    rounded = {
        name: weight_operand(name, module, tuple(specs[place] for place in places_of(name, splits)), None, splits)
        for name, module in layers.items()
        if weights
    }
    found: dict[str, tuple[SearchResult, float]] = {}

    def fix(name: str, sketches: Mapping[str, Sketch]) -> Operand:
        for place, sketch in sketches.items():
            found[place] = search_input(place, sketch, request.acts)
        return _operand(layers[name], [found[place][0] for place in sketches], splits.get(name))

    behind_prefix(model, request.spec, request.images, layers, layers, splits, rounded, fix, progress)
    return found


def _operand(module: nn.Module, results: list[SearchResult], at: int | None) -> Operand:
    operands = [ActivationOperand(result.quantizer(), single=axes(module).single) for result in results]
    return operands[0] if at is None else SplitActivation(operands[0], operands[1], at, axes(module).acts)
