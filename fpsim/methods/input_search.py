"""The search of one input's format from a sketch of it: at all timesteps, or in each bin of the timestep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from math import inf, isfinite

from fpsim.errors import FpsimError
from fpsim.methods.found_formats import FoundInput, spec_of
from fpsim.model.binned_sketch import BinnedSketch
from fpsim.number import FloatFormat
from fpsim.quant.allocation.bins import TimestepBins
from fpsim.quant.binned import ActBin, BinnedSpec
from fpsim.quant.policy import TensorSpec
from fpsim.quant.search.candidates import Encoding, encodings_of, fractions_of
from fpsim.quant.search.result import SearchResult
from fpsim.quant.search.search import search_magnitudes
from fpsim.quant.search.sketch import Sketch

Spec = TensorSpec | BinnedSpec | None
#: A bin of the timestep: its ends, which may be infinite, and its words.
Interval = tuple[float, float, str]


def search_input(name: str, sketch: Sketch, encodings: tuple[Encoding, ...]) -> tuple[SearchResult, float]:
    """Return the best format of a layer's input, and by which part its error may be too large, at most.

    Raises:
        FpsimError: nothing entered the layer.
    """
    found = search_magnitudes(sketch.magnitudes(f"the input of {name!r}"), encodings, fractions_of())
    error = found.mse * sketch.total
    excess = sketch.excess(found.encoding.grid(), float(2.0 ** -found.bias[0]))
    return found, excess / error if error else 0.0


def search_bin(name: str, sketch: BinnedSketch, each: Interval, encodings: tuple[Encoding, ...]) -> FoundInput:
    """Return the best format of a layer's input at the timesteps of a bin.

    Raises:
        FpsimError: nothing entered the layer there.
    """
    start, stop, words = each
    part = sketch.within(start, stop)
    if part is None:
        raise FpsimError(
            f"timestep bin {words} holds none of the timesteps of layer {name!r} in the initialization set, so it has "
            "no format; take more --steps or fewer bins"
        )
    found, excess = search_input(name, part, encodings)
    return FoundInput(start=start, stop=stop, result=found, excess=excess)


def intervals(bins: TimestepBins) -> list[Interval]:
    """Return the bins, the first and the last one open.

    >>> intervals(TimestepBins((500.0,)))
    [(-inf, 500.0, '0 to 500'), (500.0, inf, '500 on')]
    """
    ends = (-inf, *bins.edges, inf)
    return [(start, stop, bins.label(number)) for number, (start, stop) in enumerate(pairwise(ends))]


def encodings_for(spec: TensorSpec | None) -> tuple[Encoding, ...]:
    """Return the candidates of a tensor; none where its format is not searched."""
    whole = spec is not None and spec.scale == "mse" and spec.granularity in ("tensor", "channel")
    fmt = spec.format if spec is not None and whole else None
    if not (isinstance(fmt, FloatFormat) and fmt.signed and fmt.zero and 3 <= fmt.bits <= 8):
        return ()
    return encodings_of(fmt.bits)


def is_searched(spec: Spec) -> bool:
    """Whether a format of an input is searched: at all timesteps, or in some bin."""
    if isinstance(spec, BinnedSpec):
        return any(map(_of_bin, spec.bins))
    return bool(encodings_for(spec))


def with_found(name: str, sketch: BinnedSketch, spec: Spec) -> Spec:
    """Return how an input is quantized with the formats that a sketch of it asks for; others stay.

    Args:
        name: of the layer, or of half of a split one.
        sketch: of its input; its bins have at least the edges of the specification's.
        spec: what the policy says.

    Raises:
        FpsimError: nothing entered the layer, or nothing at the timesteps of some bin.
    """
    if isinstance(spec, BinnedSpec):
        return replace(spec, bins=tuple(_found_bin(name, sketch, each) for each in spec.bins))
    encodings = encodings_for(spec)
    return spec_of(search_input(name, sketch.whole, encodings)[0], channels=False) if encodings else spec


def edges_of(specs: Iterable[Spec]) -> TimestepBins | None:
    """Return bins so narrow that each bin of some inputs consists of whole ones; None where none has bins."""
    binned = [spec for spec in specs if isinstance(spec, BinnedSpec)]
    if not binned:
        return None
    ends = {end for spec in binned for each in spec.bins for end in (each.start, each.stop) if isfinite(end)}
    return TimestepBins(tuple(sorted(ends)))


def _of_bin(each: ActBin) -> tuple[Encoding, ...]:
    """The candidates of a bin; none where its scale is given."""
    return () if each.value is not None else encodings_for(each.spec)


def _found_bin(name: str, sketch: BinnedSketch, each: ActBin) -> ActBin:
    encodings = _of_bin(each)
    if not encodings:
        return each
    found = search_bin(name, sketch, (each.start, each.stop, str(each)), encodings)
    return replace(each, spec=spec_of(found.result, channels=False))
