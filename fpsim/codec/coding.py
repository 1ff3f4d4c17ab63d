"""``fpsim.encode`` and ``fpsim.decode``: values to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.codec.blocks import block_scales, check_divides
from fpsim.codec.codes import codes_by_table, codes_of, values_of
from fpsim.codec.encoded import Encoded
from fpsim.codec.plan import TablePlan, plan
from fpsim.codec.protocol import Backend
from fpsim.codec.protocol import backend as named_backend
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, Format
from fpsim.number.names import format as resolve


def encode(x: Any, f: str | Format, *, strict: bool = False) -> Encoded:
    """Round an array and return its codes.

    Args:
        x: as in :func:`quantize`; block formats run along the last axis.
        f: a format or its name.
        strict: for block formats, refuse a short last block.

    Returns:
        The codes (uint8, uint16 or uint32 of the shape of ``x``) with, for block formats, the codes of the scales.

    Raises:
        FpsimError: as :func:`quantize`; NaN in a format that has none.
    """
    fmt, work = resolve(f), arrays.working(x)
    data: NDArray[np.floating] = work.data.cpu().numpy() if arrays.is_torch(work.data) else work.data
    chosen = arrays.choose(None, data)
    if not isinstance(fmt, BlockFormat):
        codes = _codes(_divided(data, fmt, work.width), fmt, chosen)
        return Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=data.shape, format=fmt, width=work.width)
    columns = data.shape[-1] if data.ndim else 1
    if strict:
        check_divides(columns, fmt)
    if data.size == 0:
        empty = np.empty(data.shape, np.uint8)
        return Encoded(codes=empty, scales=empty, tensor_scale=1.0, shape=data.shape, format=fmt, width=work.width)
    rows = data.reshape(-1, columns)
    scales, whole = block_scales(rows, fmt, named_backend("numpy"))
    each = np.repeat(scales * data.dtype.type(whole), fmt.block, axis=1)[:, :columns]
    t = rows / (each * data.dtype.type(fmt.element.scale(work.width)))
    return Encoded(
        codes=_codes(t, fmt.element, chosen).reshape(data.shape),
        scales=codes_of(scales, fmt.scale),
        tensor_scale=whole,
        shape=data.shape,
        format=fmt,
        width=work.width,
    )


def _codes(t: NDArray[np.floating], fmt: ElementFormat, chosen: Backend) -> NDArray[Any]:
    """Codes of quotients: by search where the format is rounded so, otherwise from their grid values."""
    p = plan(fmt, t.dtype.itemsize * 8)
    if isinstance(p, TablePlan):
        return codes_by_table(t, fmt, p)
    assert not isinstance(fmt, CodebookFormat), "codebooks are always rounded by search"
    grid = np.empty_like(t)
    chosen.quantize(t.reshape(1, -1), fmt, np.ones((1, 1), t.dtype), grid.reshape(1, -1))
    return codes_of(grid, fmt)


def _divided(data: NDArray[np.floating], fmt: ElementFormat, width: int) -> NDArray[np.floating]:
    scale = fmt.scale(width)
    with np.errstate(over="ignore"):
        divided: NDArray[np.floating] = data if scale == 1 else data / data.dtype.type(scale)
    return divided


def decode(encoded: Encoded, *, dtype: Any = None) -> NDArray[Any]:
    """Return the values of codes: exactly what :func:`quantize` returns for the same input.

    Args:
        encoded: from :func:`encode` or ``fpsim.unpack``.
        dtype: float32 or float64; default the working width that the input was rounded in.

    Raises:
        FpsimError: another type; codes that do not exist in the format.
    """
    if dtype is None:
        dtype = np.float64 if encoded.width == 64 else np.float32
    if dtype not in (np.float32, np.float64):
        raise FpsimError(f"codes cannot be decoded to {dtype}; choose float32 or float64")
    fmt, real = encoded.format, np.dtype(dtype).type
    width = 64 if real is np.float64 else 32
    if not isinstance(fmt, BlockFormat):
        return np.asarray(values_of(encoded.codes, fmt, real) * real(fmt.scale(width)))
    columns = encoded.shape[-1] if encoded.shape else 1
    if encoded.codes.size == 0:
        return np.empty(encoded.shape, dtype)
    if encoded.scales is None:
        raise FpsimError(f"codes of {fmt.name} need the codes of their scales, but there are none")
    scales = values_of(encoded.scales, fmt.scale, real) * real(encoded.tensor_scale)
    each = np.repeat(scales * real(fmt.element.scale(width)), fmt.block, axis=1)[:, :columns]
    values: NDArray[Any] = values_of(encoded.codes, fmt.element, real).reshape(-1, columns) * each
    return values.reshape(encoded.shape)
