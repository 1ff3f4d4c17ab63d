"""How many bits and bytes a tensor takes in a format."""

from __future__ import annotations

from fpsim.number import BlockFormat
from fpsim.number.conversion import DEFAULT
from fpsim.quant import granularity as views
from fpsim.quant.granularity import Granularity, PerBlock, PerChannel
from fpsim.quant.packed_layout import layout, part_bytes, recipe_of
from fpsim.quant.packed_recipe import Record
from fpsim.quant.policy import TensorSpec
from fpsim.quant.quantizer import Quantizer

#: A tensor that is left alone stays in float32.
FULL_BITS = 32


def element_bits(spec: TensorSpec | None) -> int:
    """Bits of one code, without scales: 4 for ``int4``, ``e2m1`` and ``mxfp4``; 32 for a tensor left alone."""
    if spec is None:
        return FULL_BITS
    stored = spec.stored
    return stored.element.bits if isinstance(stored, BlockFormat) else stored.bits


def packed_bytes(shape: tuple[int, ...], spec: TensorSpec | None, *, out: int, into: int, split: int = 0) -> int:
    """Return the bytes that :func:`fpsim.save_packed` writes for a float32 tensor, codes, scales and zero points.

    Args:
        shape: of the weight.
        spec: its format and scales; None keeps it in float32.
        out: its axis of output channels, which have a scale each where scales are per channel.
        into: its axis of input channels, along which blocks run.
        split: input channels of the first half of a split layer, whose halves are two tensors; 0 for no split.

    Raises:
        FpsimError: the shape lacks an axis of the granularity.
    """
    count = 1
    for length in shape:
        count *= length
    if spec is None:
        return count * FULL_BITS // 8
    granularity = _granularity(spec, out, into)
    if split and not isinstance(granularity, PerBlock):
        sizes = (split, shape[into] - split)
        halves = [(*shape[:into], size, *shape[into + 1 :]) for size in sizes]
    else:
        halves = [shape]
    recipe = recipe_of(Quantizer(spec.format, granularity, spec.scale), DEFAULT)
    records = [Record(dtype="F32", shape=half, recipe=recipe) for half in halves]
    return sum(part_bytes(kind, size) for record in records for kind, size in layout(record).values())


def _granularity(spec: TensorSpec, out: int, into: int) -> Granularity:
    if isinstance(spec.format, BlockFormat):
        return PerBlock(spec.format.block, into)
    granularity = views.parse(spec.granularity)
    if isinstance(granularity, PerChannel):
        return PerChannel(out)
    return PerBlock(granularity.size, into) if isinstance(granularity, PerBlock) else granularity
