"""From the arrays that a packed file holds of a tensor to its values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.coding import decode, decode_rows
from fpsim.codec.encoded import Encoded, unpack
from fpsim.number import BlockFormat
from fpsim.quant import granularity as views
from fpsim.quant.granularity import PerBlock
from fpsim.quant.packed_layout import Blocks, Parts, groups_of
from fpsim.quant.packed_recipe import Record
from fpsim.quant.quantizer import effective_scale


def codes_in(parts: Parts, record: Record) -> Encoded:
    """Return a tensor's codes as ``[rows, columns]``: in C order, blocks along the columns.

    Args:
        parts: the arrays of a file, as :func:`fpsim.quant.packed_layout.layout` has them.
        record: what the file says of the tensor.
    """
    granularity, width = record.recipe.granularity, 64 if record.real == "F64" else 32
    if isinstance(granularity, PerBlock):
        blocks = Blocks.of(record.shape, granularity)
        shape = (blocks.rows, blocks.columns)
    else:
        shape = (1, math.prod(record.shape))
    like = Encoded(
        codes=np.empty(0, np.uint8),
        scales=parts["scales"] if isinstance(record.recipe.format, BlockFormat) else None,
        tensor_scale=float(parts["tensor_scale"][0]) if "tensor_scale" in parts else 1.0,
        shape=shape,
        format=record.recipe.format,
        width=width,
    )
    return unpack(parts["codes"], like)


def values_in(parts: Parts, record: Record, name: str, encoded: Encoded | None = None) -> NDArray[Any]:
    """Return a tensor's values in the width that they were rounded in, of its shape.

    Args:
        parts: the arrays of a file, as :func:`fpsim.quant.packed_layout.layout` has them.
        record: what the file says of the tensor.
        name: what errors call the tensor.
        encoded: the codes, from :func:`codes_in`, where they are known already.

    Raises:
        FpsimError: codes that do not exist in the format, or scales that are none.
    """
    encoded, granularity = encoded or codes_in(parts, record), record.recipe.granularity
    if not isinstance(granularity, PerBlock):
        return _of_groups(encoded.codes, parts, record, name)
    if isinstance(record.recipe.format, BlockFormat):
        rows = decode(encoded)
    else:
        rows = _of_blocks(encoded.codes, parts, record, name)
    return from_blocks(rows, record.shape, granularity.axis)


def from_blocks(rows: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Undo :func:`fpsim.quant.packed_encode.as_blocks`."""
    if not shape:
        return rows.reshape(shape)
    others = list(shape)
    length = others.pop(axis)
    result: NDArray[Any] = views.back(rows.reshape(*others, length), axis)
    return result


def _of_groups(codes: NDArray[Any], parts: Parts, record: Record, name: str) -> NDArray[Any]:
    recipe: Any = record.recipe
    like = np.lib.stride_tricks.as_strided(codes, record.shape, (0,) * len(record.shape))  # a shape without memory
    shape, lay = views.as_rows(like, recipe.granularity)
    scale, zeros = _scales(parts, record, name)
    values = decode_rows(
        codes.reshape(shape), recipe.format, lay(scale.reshape(-1)), None if zeros is None else lay(zeros.reshape(-1))
    )
    result: NDArray[Any] = values.reshape(record.shape)
    return result


def _of_blocks(codes: NDArray[Any], parts: Parts, record: Record, name: str) -> NDArray[Any]:
    recipe: Any = record.recipe
    scale, zeros = _scales(parts, record, name)
    values = np.empty(codes.shape, scale.dtype)
    for columns, which, length in Blocks.of(record.shape, recipe.granularity).pieces():
        piece = np.ascontiguousarray(codes[:, columns]).reshape(-1, length)
        zero = None if zeros is None else zeros[:, which].reshape(-1, 1)
        done = decode_rows(piece, recipe.format, scale[:, which].reshape(-1, 1), zero)
        values[:, columns] = done.reshape(len(codes), -1)
    return values


def _scales(parts: Parts, record: Record, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What the backends divided by, and zero points in the same type."""
    real = np.dtype("float64" if record.real == "F64" else "float32")
    if "scales" in parts:
        scales = np.ascontiguousarray(parts["scales"], real)
    else:
        scales = np.ones(groups_of(record), real)
    zeros = np.ascontiguousarray(parts["zero_points"], real) if "zero_points" in parts else None
    return effective_scale(scales, record.recipe.format, f"tensor {name!r}"), zeros  # type: ignore[arg-type]
