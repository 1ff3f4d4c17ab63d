"""Which arrays a packed file holds of a tensor, and their sizes, from its record alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.codes import code_dtype
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat, Format, IntFormat
from fpsim.number.conversion import DEFAULT, Conversion
from fpsim.quant.granularity import PerBlock, PerChannel
from fpsim.quant.packed_recipe import Recipe, Record
from fpsim.quant.quantizer import Quantizer

Parts = Mapping[str, NDArray[Any]]
DTYPES = {"U8": "u1", "U16": "<u2", "U32": "<u4", "F32": "<f4", "F64": "<f8"}


def recipe_of(quantizer: Quantizer, how: Conversion = DEFAULT) -> Recipe:
    """Return what a file says of a quantizer."""
    fmt, fixed = quantizer.format, quantizer.scales
    affine = isinstance(fmt, IntFormat) and not fmt.signed and quantizer.scale != "none"
    scale = f"{fmt.scale.name}-{fmt.rule}" if isinstance(fmt, BlockFormat) else quantizer.scale
    return Recipe(
        format=fmt,
        granularity=quantizer.granularity,
        scale="fixed" if fixed is not None else scale,
        zero_points=affine if fixed is None else fixed.zero_point is not None,
        how=how,
    )


@dataclass(frozen=True, slots=True)
class Blocks:
    """A tensor with its blocks along the last axis: rows, columns, and the length of a block."""

    rows: int
    columns: int
    size: int

    @property
    def count(self) -> int:
        """Blocks a row, a short last one included."""
        return -(-self.columns // self.size)

    @classmethod
    def of(cls, shape: tuple[int, ...], blocks: PerBlock) -> Blocks:
        """Return how a tensor without empty axes lies in blocks.

        Raises:
            FpsimError: it lacks the axis.
        """
        if not shape:
            return cls(1, 1, blocks.size)
        if not -len(shape) <= blocks.axis < len(shape):
            raise FpsimError(f"axis {blocks.axis} does not exist in a tensor of shape {list(shape)}")
        columns = shape[blocks.axis]
        return cls(math.prod(shape) // columns, columns, blocks.size)

    def pieces(self) -> Iterator[tuple[slice, slice, int]]:
        """Yield columns, blocks and the length of these blocks: the whole ones, then the short last one."""
        whole = self.columns // self.size
        if whole:
            yield slice(0, whole * self.size), slice(0, whole), self.size
        if self.columns % self.size:
            yield slice(whole * self.size, None), slice(whole, None), self.columns % self.size


def layout(record: Record) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return type and shape of each array that a file holds of a tensor, by suffix of its name.

    ``codes``: packed, U8. ``scales``: float32 or float64, one a group (``[groups]``, or ``[rows, blocks]``); for block
    formats the codes of the scales. ``zero_points``: whole numbers like the scales. ``tensor_scale``: ``[1]`` (NVFP4).
    """
    recipe, fmt = record.recipe, record.recipe.format
    element = element_of(fmt)
    parts: dict[str, tuple[str, tuple[int, ...]]] = {
        "codes": ("U8", (-(-math.prod(record.shape) * element.bits // 8),))
    }
    groups = groups_of(record)
    if isinstance(fmt, BlockFormat):
        parts["scales"] = (f"U{8 * np.dtype(code_dtype(fmt.scale.bits)).itemsize}", groups)
        if fmt.tensor_scale:
            parts["tensor_scale"] = (record.real, (1,))
    elif recipe.scale != "none":
        parts["scales"] = (record.real, groups)
    if recipe.zero_points:
        parts["zero_points"] = (f"U{8 * np.dtype(code_dtype(element.bits)).itemsize}", groups)
    return parts


def element_of(fmt: Format) -> ElementFormat:
    """Return the format of the codes."""
    return fmt.element if isinstance(fmt, BlockFormat) else fmt


def groups_of(record: Record) -> tuple[int, ...]:
    """Return the shape of a tensor's scales.

    Raises:
        FpsimError: the tensor lacks the axis of its granularity.
    """
    granularity = record.recipe.granularity
    if isinstance(granularity, PerBlock):
        blocks = Blocks.of(record.shape, granularity)
        return blocks.rows, blocks.count
    if isinstance(granularity, PerChannel) and not -len(record.shape) <= granularity.axis < len(record.shape):
        raise FpsimError(f"axis {granularity.axis} does not exist in a tensor of shape {list(record.shape)}")
    return (record.shape[granularity.axis] if isinstance(granularity, PerChannel) else 1,)


def part_bytes(kind: str, shape: tuple[int, ...]) -> int:
    """Return the size of an array of a file in bytes."""
    return np.dtype(DTYPES[kind]).itemsize * math.prod(shape)
