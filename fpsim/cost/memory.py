"""Peak memory of an image: weights, live activations, score matrices, scales and what the allocator keeps besides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fpsim.cost.memory_options import Bits, MemoryOptions
from fpsim.cost.operations import Component, Trace
from fpsim.errors import FpsimError

#: The largest batch that is looked for.
_MOST_IMAGES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes at the moment that takes the most.

    Attributes:
        images: of the batch.
        phase: the network that runs then.
        weights: of the denoiser.
        scales: of the denoiser's quantized weights.
        resident: weights of the other networks.
        activations: live ones, without score matrices.
        scores: score matrices of attention.
        reserve: what the allocator holds in excess of the live tensors.
    """

    images: int
    phase: str
    weights: float
    scales: float
    resident: float
    activations: float
    scores: float
    reserve: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.weights + self.scales + self.resident + self.activations + self.scores + self.reserve


def peak(trace: Trace, options: MemoryOptions | None = None, *, images: int = 1, **changes: Any) -> Memory:
    """Return the peak memory of a batch of images.

    The networks run one after the other and all their weights stay. What depends on the batch is taken in proportion
    from the batch of the trace.

    Args:
        trace: of the model.
        options: formats, attention, guidance and what else is in memory; float32 and fused without them.
        images: of the batch.
        changes: fields of :class:`MemoryOptions` that replace those of ``options``.

    Raises:
        FpsimError: no image, an unusable option, or bits for a layer that the denoiser does not have.

    Source: Chen et al. 2024, Fig. 5, for naive attention.
    """
    if images < 1:
        raise FpsimError(f"a batch of {images} has no image; give a positive number")
    how = replace(options or MemoryOptions(), **changes)
    phases = [(component.name, *_running(component, trace, how, images)) for component in trace.components]
    phase, activations, scores = max(phases, key=lambda item: item[1] + item[2])
    others = sum(item.parameters for item in trace.components[1:]) + sum(how.resident.values())
    return Memory(
        images=images,
        phase=phase,
        weights=_weight_bits(trace.denoiser, how) / 8,
        scales=_sum_of_layers(trace.denoiser, how.scale_bits) / 8,
        resident=others * how.other_bits / 8,
        activations=activations,
        scores=scores,
        reserve=how.allocator_reserve * (activations + scores),
    )


def sweep(
    trace: Trace, batches: Sequence[int], options: MemoryOptions | None = None, **changes: Any
) -> tuple[Memory, ...]:
    """Return the peak memory of several batches.

    Args:
        trace: of the model.
        batches: images of each.
        options, changes: as for :func:`peak`.
    """
    return tuple(peak(trace, options, images=images, **changes) for images in batches)


def largest_batch(trace: Trace, capacity: float, options: MemoryOptions | None = None, **changes: Any) -> int:
    """Return the most images that fit at once, 0 if the weights or one image do not.

    Args:
        trace: of the model.
        capacity: bytes.
        options, changes: as for :func:`peak`.
    """
    how = replace(options or MemoryOptions(), **changes)
    low, high = 0, 1
    while high <= _MOST_IMAGES and peak(trace, how, images=high).total <= capacity:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        fits = peak(trace, how, images=middle).total <= capacity
        low, high = (middle, high) if fits else (low, middle)
    return low


def _running(component: Component, trace: Trace, how: MemoryOptions, images: int) -> tuple[float, float]:
    """Bytes of activations and of scores when one network's sum of both is largest."""
    samples = images * (2 if how.cfg and component is trace.denoiser else 1)
    share = samples / trace.batch
    moments = [(component.live * how.act_bytes, 0.0)]
    if how.attention == "naive":
        width = (how.act_bytes if how.score_bytes is None else how.score_bytes) * how.score_copies
        sizes = (item.scores for item in component.operations if item.scores)
        moments += [
            (live * how.act_bytes, size * width) for live, size in zip(component.attention_live, sizes, strict=True)
        ]
    activations, scores = max(moments, key=sum)
    return activations * share, scores * share


def _weight_bits(denoiser: Component, how: MemoryOptions) -> float:
    if not isinstance(how.weight_bits, Mapping):
        return denoiser.parameters * how.weight_bits
    _sum_of_layers(denoiser, how.weight_bits)
    return sum(
        math.prod(shape) * how.weight_bits.get(name.removesuffix(".weight"), how.other_bits)
        for name, shape in denoiser.parameter_shapes
    )


def _sum_of_layers(denoiser: Component, bits: Bits) -> float:
    if not isinstance(bits, Mapping):
        return bits
    layers = {name.removesuffix(".weight") for name, _ in denoiser.parameter_shapes if name.endswith(".weight")}
    unknown = next((name for name in bits if name not in layers), None)
    if unknown is not None:
        raise FpsimError(f"bits are given for {unknown!r}, which is no layer with a weight; name one of the denoiser's")
    return sum(bits.values())
