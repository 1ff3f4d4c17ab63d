"""From a tensor's values to the arrays that a packed file holds of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.codes import code_dtype
from fpsim.codec.coding import encode, encode_rows
from fpsim.codec.encoded import Encoded
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat
from fpsim.number.conversion import Conversion
from fpsim.quant import granularity as views
from fpsim.quant.granularity import PerBlock
from fpsim.quant.packed_layout import DTYPES, Blocks, Parts, layout
from fpsim.quant.packed_recipe import Record
from fpsim.quant.quantizer import effective_scale
from fpsim.quant.scales import Scales, fit


def pack(x: NDArray[Any], record: Record, name: str, fixed: Scales | None = None) -> Parts:
    """Return the arrays that a file holds of a tensor.

    Args:
        x: the values in the width that they are rounded in (float32 or float64).
        record: from :func:`recipe_of`, with type and shape.
        name: what errors call the tensor.
        fixed: scales to use instead of fitting them.

    Raises:
        FpsimError: NaN or Inf in ``x``; scales that cannot be had or stored.
    """
    if not np.isfinite(x).all():
        raise FpsimError(f"tensor {name!r} holds NaN or Inf; repair it, or leave it out of the quantization (exclude)")
    recipe, fmt = record.recipe, record.recipe.format
    if isinstance(fmt, BlockFormat):
        found: dict[str, Any] = _pack_block_format(as_blocks(x, recipe.granularity), fmt, recipe.how)
    else:
        codes, scales, zeros = (_by_blocks if isinstance(recipe.granularity, PerBlock) else _by_groups)(
            x, record, name, fixed
        )
        found = {"codes": _packed(codes, fmt), "scales": scales, "zero_points": zeros}
    return {suffix: _as_stored(found[suffix], *kind, name) for suffix, kind in layout(record).items()}


def _as_stored(values: Any, kind: str, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    result: NDArray[Any] = np.asarray(values).reshape(shape).astype(DTYPES[kind])
    if (result != np.asarray(values).reshape(shape)).any():
        raise FpsimError(f"tensor {name!r}: a zero point lies outside the format's codes, so it cannot be stored")
    return result


def _packed(codes: NDArray[Any], fmt: ElementFormat) -> NDArray[np.uint8]:
    return Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=codes.shape, format=fmt).pack()


def _pack_block_format(rows: NDArray[Any], fmt: BlockFormat, how: Conversion) -> dict[str, Any]:
    policies = {"rounding": how.rounding, "overflow": how.overflow, "nan": how.nan}
    bits = {} if how.deterministic else {"random_bits": how.random_bits, "seed": how.seed}
    encoded = encode(rows, fmt, **policies, **bits)  # type: ignore[arg-type]
    return {"codes": encoded.pack(), "scales": encoded.scales, "tensor_scale": [encoded.tensor_scale]}


def as_blocks(x: NDArray[Any], blocks: Any) -> NDArray[Any]:
    """Return ``x`` as ``[rows, columns]`` with the blocks along the columns."""
    last: NDArray[Any] = views.last_axis(x, blocks.axis) if x.ndim else x.reshape(1, 1)
    return last.reshape(-1, last.shape[-1])


def _by_groups(x: NDArray[Any], record: Record, name: str, fixed: Scales | None) -> tuple[Any, Any, Any]:
    recipe: Any = record.recipe
    found = fixed or fit(views.groups(x, recipe.granularity), recipe.format, recipe.scale, name=f"tensor {name!r}")
    zero_point = None if found.zero_point is None else found.zero_point.astype(x.dtype)
    real = Scales(found.scale.astype(x.dtype), zero_point)
    shape, lay = views.as_rows(x, recipe.granularity)
    scale = lay(effective_scale(real.scale, recipe.format, f"tensor {name!r}"))
    zeros = None if zero_point is None else lay(zero_point)
    codes = encode_rows(np.ascontiguousarray(x).reshape(shape), recipe.format, scale, zeros, recipe.how)
    return codes, real.scale, zero_point


def _by_blocks(x: NDArray[Any], record: Record, name: str, fixed: Scales | None) -> tuple[Any, Any, Any]:
    recipe: Any = record.recipe
    rows, blocks = as_blocks(x, recipe.granularity), Blocks.of(record.shape, recipe.granularity)
    codes = np.empty(rows.shape, code_dtype(recipe.format.bits))
    scales = np.empty((blocks.rows, blocks.count), x.dtype)
    zeros = np.zeros_like(scales)
    for columns, which, length in blocks.pieces():
        piece = np.ascontiguousarray(rows[:, columns]).reshape(-1, length)
        found = fit(piece, recipe.format, recipe.scale, name=f"tensor {name!r}")
        scale = effective_scale(found.scale, recipe.format, f"tensor {name!r}")
        zero = None if found.zero_point is None else found.zero_point.reshape(-1, 1)
        done = encode_rows(piece, recipe.format, scale.reshape(-1, 1), zero, recipe.how)
        codes[:, columns] = done.reshape(blocks.rows, -1)
        scales[:, which] = found.scale.reshape(blocks.rows, -1)
        zeros[:, which] = 0 if zero is None else zero.reshape(blocks.rows, -1)
    return codes, scales, zeros
