"""What a format search found over a model, and the policy that computes with it."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from torch import Tensor

from fpsim.model.split_names import halves
from fpsim.quant.binned import ActBin
from fpsim.quant.policy import BinnedSpec, Policy, Rule, TensorSpec
from fpsim.quant.search.result import SearchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundInput:
    """What was found for an input at the timesteps of one bin.

    Args:
        start, stop: the half-open interval of the timestep; infinite ends are open.
        result: of the search.
        excess: by which part the sketch may have made the error too large, at most.
    """

    start: float = -inf
    stop: float = inf
    result: SearchResult
    excess: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFormats:
    """What was found for a layer, or for half of a split layer.

    None stands where nothing was searched, or, for ``acts``, where the layer did not run.

    Args:
        name: of the layer, or of the half (:func:`fpsim.model.split_names.halves`).
        weights, acts: the results; ``acts`` is that of all timesteps.
        excess: by which part the sketch may have made the error of ``acts`` too large, at most.
        bins: the results for the input in each bin of the timestep, in place of ``acts``.
    """

    name: str
    weights: SearchResult | None
    acts: SearchResult | None
    excess: float = 0.0
    bins: tuple[FoundInput, ...] = ()

    @property
    def inputs(self) -> tuple[FoundInput, ...]:
        """What was found for the input: for each bin, or for all timesteps; nothing where it has no format."""
        return self.bins or (() if self.acts is None else (FoundInput(result=self.acts, excess=self.excess),))


def policy_of(found: list[LayerFormats], *, channels: bool) -> Policy:
    """Return one rule a layer, or a half: what was found, to the last bit.

    Per tensor it is the format with its real bias, without a scale; per channel the encoding with each channel's bias.
    An input that follows the timestep has such a format in each bin.
    """
    rules = []
    for layer in found:
        weights = spec_of(layer.weights, channels=channels) if layer.weights is not None else None
        rules.append(Rule(match=glob.escape(layer.name), weights=weights, acts=_acts_of(layer)))
    return Policy(tuple(rules))


def _acts_of(layer: LayerFormats) -> TensorSpec | BinnedSpec | None:
    if layer.bins:
        return binned_spec(layer.bins)
    return None if layer.acts is None else spec_of(layer.acts, channels=False)


def binned_spec(found: Sequence[FoundInput]) -> BinnedSpec:
    """Return the specification with which an input is rounded in each bin as the search promised."""
    return BinnedSpec(
        bins=tuple(
            ActBin(start=each.start, stop=each.stop, spec=spec_of(each.result, channels=False)) for each in found
        )
    )


def spec_of(found: SearchResult, *, channels: bool) -> TensorSpec:
    """Return the specification with which a tensor is rounded as the search promised."""
    if not channels:
        return TensorSpec(format=found.format, granularity="tensor", scale="none")
    biases = tuple(float(bias) for bias in found.bias)
    return TensorSpec(format=found.format, granularity="channel", scale="none", biases=biases)


def places_of(name: str, splits: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of what is searched of a layer: its own, or those of its halves."""
    return halves(name, splits[name]) if name in splits else (name,)


def weight_parts(name: str, module: Any, splits: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    """Yield a layer's weight by the layer's name, or its halves by theirs."""
    weight = module.weight.detach()
    if name not in splits:
        yield name, weight
        return
    first, second = halves(name, splits[name])
    yield first, weight[:, : splits[name]].contiguous()
    yield second, weight[:, splits[name] :].contiguous()
