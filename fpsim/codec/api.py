"""The public functions of the codec: quantize, encode, decode."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.codec.blocks import apply_scales, block_scales, check_divides, quantize_blocks
from fpsim.codec.codes import codes_by_table, codes_of, values_of
from fpsim.codec.encoded import Encoded
from fpsim.codec.options import check_overflow, check_rounding
from fpsim.codec.plan import TablePlan, plan
from fpsim.codec.protocol import Backend
from fpsim.codec.protocol import backend as named_backend
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, Format
from fpsim.number.names import format as resolve


def quantize(
    x: Any,
    f: str | Format,
    *,
    rounding: str = "ties-to-even",
    overflow: str = "saturate",
    out: Any = None,
    out_dtype: Any = None,
    strict: bool = False,
    backend: str | None = None,
) -> Any:
    """Round an array to a number format, value to value; it never scales, except for block formats.

    Args:
        x: NumPy array or torch tensor of float16, bfloat16, float32 or float64, any shape and layout. Each
            value is rounded once, from its own width.
        f: a format or its name.
        rounding: ``ties-to-even``: to nearest, ties to the even code.
        overflow: ``saturate``: magnitudes beyond the largest finite value, Inf included, become it.
        out: where to write, of the shape and kind of ``x``; may be ``x``.
        out_dtype: type of the result instead of that of ``x``.
        strict: for block formats, refuse a short last block.
        backend: who rounds: ``numba``, ``numpy``, ``torch`` or a registered name; default by the array.

    Returns:
        An array of the kind, shape and type of ``x``. NaN stays NaN. A result that the type cannot hold
        becomes its nearest finite value.

    Raises:
        FpsimError: unknown format, policy or backend; not floating-point values; a format wider than the values.

    >>> import numpy as np
    >>> quantize(np.array([0.3, 5.0, -9.0], np.float32), "e2m1")
    array([ 0.5,  4. , -6. ], dtype=float32)
    """
    check_rounding(rounding)
    check_overflow(overflow)
    fmt, work = resolve(f), arrays.working(x)
    chosen, like = arrays.choose(backend, x), _like(x, out, out_dtype)
    y = out if out is not None and arrays.usable(out, work.data) else arrays.empty_like(work.data)
    source, target = arrays.for_backend(work.data, chosen), arrays.for_backend(y, chosen)
    if isinstance(fmt, BlockFormat):
        _blocks(source, target, fmt, chosen, strict)
    else:
        scale = fmt.scale(work.width)
        chosen.quantize(_rows(source), fmt, _one(source, scale), _rows(target))
    return arrays.finish(y, like, out)


def _blocks(source: Any, target: Any, fmt: BlockFormat, chosen: Backend, strict: bool) -> None:
    columns = source.shape[-1] if source.ndim else 1
    if strict:
        check_divides(columns, fmt)
    if 0 in source.shape:
        return
    if arrays.is_torch(source):
        from fpsim.codec.torch_blocks import quantize_blocks as quantize_torch_blocks

        quantize_torch_blocks(source.reshape(-1, columns), fmt, target.view(-1, columns), chosen)
    else:
        quantize_blocks(source.reshape(-1, columns), fmt, target.reshape(-1, columns), chosen)


class _Typed:
    """Stands for an array of another type in :func:`fpsim.codec.arrays.finish`."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype


def _like(x: Any, out: Any, out_dtype: Any) -> Any:
    """What has the type of the result, once ``out`` and ``out_dtype`` are checked."""
    if out is not None and out_dtype is not None:
        raise FpsimError("out has a type of its own, so out_dtype cannot be given with it; drop one")
    if out is not None:
        arrays.check_out(x, out)
    if out_dtype is None:
        return x
    return _Typed(arrays.check_type(x, out_dtype))


def _rows(data: Any) -> Any:
    return data.reshape(1, -1)


def _one(data: Any, scale: float) -> Any:
    if arrays.is_torch(data):
        return data.new_full((1, 1), scale)
    return np.full((1, 1), scale, data.dtype)


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
        return Encoded(codes=codes, scales=None, tensor_scale=1.0, shape=data.shape, format=fmt)
    columns = data.shape[-1] if data.ndim else 1
    if strict:
        check_divides(columns, fmt)
    if data.size == 0:
        empty = np.empty(data.shape, np.uint8)
        return Encoded(codes=empty, scales=empty, tensor_scale=1.0, shape=data.shape, format=fmt)
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
    )


def _codes(t: NDArray[np.floating], fmt: ElementFormat, chosen: Backend) -> NDArray[Any]:
    """Codes of quotients: by search where the format is rounded so, otherwise from their grid values."""
    p = plan(fmt, t.dtype.itemsize * 8)
    if isinstance(p, TablePlan):
        return codes_by_table(t, fmt, p)
    assert not isinstance(fmt, CodebookFormat), "codebooks are always rounded by search"
    grid = np.empty_like(t)
    chosen.quantize(_rows(t), fmt, _one(t, 1.0), _rows(grid))
    return codes_of(grid, fmt)


def _divided(data: NDArray[np.floating], fmt: ElementFormat, width: int) -> NDArray[np.floating]:
    scale = fmt.scale(width)
    with np.errstate(over="ignore"):
        divided: NDArray[np.floating] = data if scale == 1 else data / data.dtype.type(scale)
    return divided


def decode(encoded: Encoded, *, dtype: Any = np.float32) -> NDArray[Any]:
    """Return the values of codes: exactly what :func:`quantize` returns for the same input.

    Args:
        encoded: from :func:`encode` or ``fpsim.unpack``.
        dtype: float32 or float64: the working width that was rounded in.

    Raises:
        FpsimError: codes that do not exist in the format.
    """
    fmt, real = encoded.format, np.dtype(dtype).type
    width = 64 if np.dtype(dtype) == np.float64 else 32
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


__all__ = ["apply_scales", "decode", "encode", "quantize"]
