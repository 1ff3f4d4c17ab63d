"""The format search of Chen et al. 2024 (Algorithm 1) over a whole model: weights first, then activations."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from torch import nn

from fpsim.errors import FpsimError
from fpsim.methods.recorded_calls import Recorder, run_calibration
from fpsim.model.layers import axes, quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.sketches import Taps
from fpsim.quant.granularity import Granularity, PerChannel, PerTensor
from fpsim.quant.policy import Policy, Rule, TensorSpec
from fpsim.quant.search.candidates import Encoding, fractions_of
from fpsim.quant.search.result import SearchResult
from fpsim.quant.search.search import search_format, search_magnitudes
from fpsim.quant.search.sketch import Sketch
from fpsim.sample.spec import SampleSpec

#: progress(what is running, finished parts of it, all its parts)
Progress = Callable[[str, int, int], None]
Captured = Literal["full-precision", "quantized-prefix"]
#: Images of the calibration run (the paper's "samples") by the model's kind; a bundled model is a small one.
IMAGES = {"unconditional": 128, "latent-unconditional": 128, "text-to-image": 16, "bundled": 16}


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
        images: images of the calibration run.
        skip: globs of layers that are left alone.

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

    def __post_init__(self) -> None:
        if not self.weights and not self.acts:
            raise FpsimError("there is nothing to search; give --bits, --weights-bits or --acts-bits")
        if self.images < 1:
            raise FpsimError(f"--calibration-images {self.images}: at least 1 image is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFormats:
    """What was found for a layer: None where nothing was searched, or, for ``acts``, where the layer did not run.

    Args:
        name: of the layer.
        weights, acts: the results.
        excess: by which part the sketch may have made the error of ``acts`` too large, at most.
    """

    name: str
    weights: SearchResult | None
    acts: SearchResult | None
    excess: float = 0.0


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
    weights: dict[str, SearchResult] = {}
    if request.weights:
        for done, (name, module) in enumerate(layers.items(), 1):
            weights[name] = _weight(name, module, request)
            progress("weights", done, len(layers))
    acts: dict[str, tuple[SearchResult, float]] = {}
    if request.acts:
        find = _from_full_precision if request.captured == "full-precision" else _from_prefix
        acts = find(request, model, layers, weights, progress)
    order = [*acts, *(name for name in layers if name not in acts)]
    return [
        LayerFormats(
            name=name,
            weights=weights.get(name),
            acts=acts[name][0] if name in acts else None,
            excess=acts[name][1] if name in acts else 0.0,
        )
        for name in order
    ]


def policy_of(found: list[LayerFormats], *, channels: bool) -> Policy:
    """Return one rule a layer: formats with their real biases, which need no scale.

    Per channel a format has one bias and each channel a scale; the rule ``mse`` finds the same ones again, as it
    tries the same 111 fractions of each channel's largest magnitude.
    """
    rules = []
    for layer in found:
        weights = acts = None
        if layer.weights is not None:
            how = {"granularity": "channel", "scale": "mse"} if channels else {"granularity": "tensor", "scale": "none"}
            weights = TensorSpec(format=layer.weights.format, **how)
        if layer.acts is not None:
            acts = TensorSpec(format=layer.acts.format, granularity="tensor", scale="none")
        rules.append(Rule(match=glob.escape(layer.name), weights=weights, acts=acts))
    return Policy(tuple(rules))


def _layers(model: nn.Module, skip: tuple[str, ...]) -> dict[str, Any]:
    found = dict(quantizable(model))
    Policy().skip(*skip).resolve(found)  # a glob that matches nothing is refused
    left = {name: module for name, module in found.items() if not any(fnmatchcase(name, g) for g in skip)}
    if not left:
        raise FpsimError("no layer is left to search: the model has none that can be quantized, or --skip names all")
    return left


def _weight(name: str, module: Any, request: FormatSearch) -> SearchResult:
    granularity: Granularity = PerChannel(axes(module).out) if request.channels else PerTensor()
    names = [encoding.name for encoding in request.weights]
    return search_format(module.weight.detach(), encodings=names, granularity=granularity, name=f"{name}.weight")


def _input(name: str, sketch: Sketch, encodings: tuple[Encoding, ...]) -> tuple[SearchResult, float]:
    found = search_magnitudes(sketch.magnitudes(f"the input of {name!r}"), encodings, fractions_of())
    error = found.mse * sketch.total
    excess = sketch.excess(found.encoding.grid(), float(2.0 ** -found.bias[0]))
    return found, excess / error if error else 0.0


def _from_full_precision(
    request: FormatSearch,
    model: LoadedModel,
    layers: Mapping[str, Any],
    _weights: Mapping[str, SearchResult],
    progress: Progress,
) -> dict[str, tuple[SearchResult, float]]:
    def run() -> None:
        run_calibration(model, request.spec, request.images, lambda a, b: progress("calibration", a, b))

    with Taps(model.denoiser, list(layers)) as taps:
        sketches = taps.all(run)
    found = {}
    for done, name in enumerate(list(sketches), 1):
        found[name] = _input(name, sketches.pop(name), request.acts)
        progress("inputs", done, done + len(sketches))
    return found


def _from_prefix(
    request: FormatSearch,
    model: LoadedModel,
    layers: Mapping[str, Any],
    weights: Mapping[str, SearchResult],
    progress: Progress,
) -> dict[str, tuple[SearchResult, float]]:
    """Layer by layer as they run, each fixed before the next one's input is captured."""
    with Recorder(model.denoiser) as recorder, Taps(model.denoiser, list(layers)) as taps:
        run_calibration(model, request.spec, request.images, lambda a, b: progress("calibration", a, b))
        calls = dict(taps.calls)
    if not calls:
        raise FpsimError("the calibration ran none of the model's layers, so there is no input to search")
    replays = recorder.replays()
    rounded = {name: WeightOperand(result.quantizer(), refit=False) for name, result in weights.items()}
    found = {}
    with Taps(model.denoiser, list(layers), rounded) as taps:
        for done, (name, count) in enumerate(calls.items(), 1):
            sketch = taps.one(name, replays, once=count == len(replays))
            found[name] = _input(name, sketch, request.acts)
            taps.taps[name].operand = ActivationOperand(found[name][0].quantizer(), single=axes(layers[name]).single)
            progress("inputs", done, len(calls))
    return found
