"""The format search of Chen et al. 2024 (Algorithm 1) over a whole model: weights first, then activations."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.methods.captured_inputs import CapturedInputs, from_full_precision, from_prefix
from fpsim.methods.found_formats import FoundInput, LayerFormats, places_of, spec_of, weight_parts
from fpsim.methods.prefix import Progress
from fpsim.methods.timestep_bins import refuse_empty, training_timesteps
from fpsim.model.layers import axes, quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.timestep import clock_of
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import check_count
from fpsim.quant.granularity import Granularity, PerChannel, PerTensor
from fpsim.quant.policy import Policy
from fpsim.quant.search.candidates import Encoding
from fpsim.quant.search.result import SearchResult
from fpsim.quant.search.search import search_format
from fpsim.sample import schedulers
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
        timestep_bins: bins of the timestep, of equal width over those of training, in each of which an input has a
            format of its own; 1 for one format at all timesteps.

    Raises:
        FpsimError: nothing to search, no image, no bin, or bins without inputs.
    """

    weights: tuple[Encoding, ...]
    acts: tuple[Encoding, ...]
    channels: bool
    captured: Captured
    spec: SampleSpec
    images: int
    skip: tuple[str, ...] = ()
    split: str = "none"
    timestep_bins: int = 1

    def __post_init__(self) -> None:
        if not self.weights and not self.acts:
            raise FpsimError("there is nothing to search; give --bits, --weights-bits or --acts-bits")
        if self.images < 1:
            raise FpsimError(f"--init-samples {self.images}: at least 1 sample is needed")
        check_count(self.timestep_bins)
        if self.timestep_bins > 1 and not self.acts:
            raise FpsimError("--timestep-bins is for inputs, and weights have one format; give --bits or --acts-bits")


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
        FpsimError: a glob that matches no layer, NaN in a weight or an input, no layer to search, or a timestep bin
            that holds no timestep.
    """
    layers, bins = _layers(model.denoiser, request.skip), _bins(request, model)
    splits = {name: at for name, at in find_splits(model.denoiser, request.split).items() if name in layers}
    weights: dict[str, SearchResult] = {}
    if request.weights:
        for done, (name, module) in enumerate(layers.items(), 1):
            for place, part in weight_parts(name, module, splits):
                weights[place] = _weight(place, part, module, request)
            progress("weights", done, len(layers))
    acts: dict[str, tuple[FoundInput, ...]] = {}
    if request.acts:
        how = CapturedInputs(
            model=model,
            spec=request.spec,
            images=request.images,
            layers=layers,
            splits=splits,
            encodings=request.acts,
            bins=bins,
            progress=progress,
        )
        specs = {place: spec_of(result, channels=request.channels) for place, result in weights.items()}
        acts = from_prefix(how, specs) if request.captured == "quantized-prefix" else from_full_precision(how)
    places = [place for name in layers for place in places_of(name, splits)]
    order = [*acts, *(place for place in places if place not in acts)]
    return [_found(place, weights.get(place), acts.get(place, ()), binned=bins is not None) for place in order]


def _found(place: str, weights: SearchResult | None, acts: tuple[FoundInput, ...], *, binned: bool) -> LayerFormats:
    if binned or not acts:
        return LayerFormats(name=place, weights=weights, acts=None, bins=acts)
    return LayerFormats(name=place, weights=weights, acts=acts[0].result, excess=acts[0].excess)


def _bins(request: FormatSearch, model: LoadedModel) -> TimestepBins | None:
    """The bins of the timestep, each of which holds some of the calibration's; None for all timesteps alike."""
    if request.timestep_bins == 1:
        return None
    clock_of(model.denoiser)  # a model without timesteps is refused before any work
    bins = TimestepBins.even(request.timestep_bins, training_timesteps(model, request.timestep_bins))
    if model.kind != "text-to-image":  # such a pipeline may choose other timesteps: its bins are checked as they fill
        scheduler = schedulers.make(request.spec.scheduler, model.scheduler)
        schedulers.set_steps(scheduler, request.spec.steps)
        refuse_empty(bins, scheduler.timesteps.tolist())
    return bins


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
