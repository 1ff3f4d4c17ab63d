"""``fpsim.encode`` and ``fpsim.decode``: values to codes and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.codec.block_codes import decode_blocks, encode_blocks
from fpsim.codec.blocks import check_divides
from fpsim.codec.codes import code_dtype
from fpsim.codec.encoded import Encoded
from fpsim.codec.options import conversion
from fpsim.codec.rows import decode_into, decode_rows, encode_into, encode_rows
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, Format
from fpsim.number.conversion import Conversion
from fpsim.number.names import format as resolve


def encode(
    x: Any,
    f: str | Format,
    *,
    rounding: str = "ties-to-even",
    overflow: str = "saturate",
    nan: str = "keep",
    random_bits: int | None = None,
    seed: int | None = None,
    preset: str | None = None,
    strict: bool = False,
    out: NDArray[Any] | None = None,
) -> Encoded:
    """Round an array and return its codes.

    Args:
        x: as in :func:`fpsim.quantize`; block formats run along the last axis.
        f: a format or its name.
        rounding: as in :func:`fpsim.quantize`, like all other policies.
        overflow: policy beyond the largest finite value.
        nan: what NaN becomes in a format without NaN; ``keep`` makes it an error.
        random_bits: of stochastic rounding.
        seed: of stochastic rounding.
        preset: all policies by the library or hardware that has them.
        strict: for block formats, refuse a short last block.
        out: where to write the codes: a NumPy array of the shape of ``x``, uint8 for codes of up to 8 bits, uint16
            for up to 16, otherwise uint32.

    Returns:
        The codes (of the shape of ``x``; ``out`` if given) with, for block formats, the codes of the scales.

    Raises:
        FpsimError: as :func:`fpsim.quantize`; NaN in a format that has none.

    >>> encode(np.array([0.5, 1, -6], np.float32), "e2m1").codes
    array([ 1,  2, 15], dtype=uint8)
    """
    fmt = resolve(f)
    how, through = conversion(
        fmt, rounding=rounding, overflow=overflow, nan=nan, random_bits=random_bits, seed=seed, preset=preset
    )
    work = arrays.working(x, through_float32=through)
    data: NDArray[np.floating] = work.data.cpu().numpy() if arrays.is_torch(work.data) else work.data
    if isinstance(fmt, BlockFormat) and strict:
        check_divides(_columns(data), fmt)
    dtype = code_dtype(fmt.element.bits if isinstance(fmt, BlockFormat) else fmt.bits)
    codes, result = _buffer(out, data.shape, (dtype,), "codes of " + fmt.name)
    scales, whole = _encode_into(data, fmt, work.width, how, codes)
    if result is not codes:
        result[...] = codes
    return Encoded(codes=result, scales=scales, tensor_scale=whole, shape=data.shape, format=fmt, width=work.width)


def _columns(data: NDArray[Any]) -> int:
    return data.shape[-1] if data.ndim else 1


def _encode_into(
    data: NDArray[np.floating], fmt: Format, width: int, how: Conversion, codes: NDArray[Any]
) -> tuple[NDArray[Any] | None, float]:
    """Write the codes; return those of block scales (None for other formats), and the whole array's scale."""
    if not isinstance(fmt, BlockFormat):
        scale = np.full((1, 1), fmt.scale(width), data.dtype)
        encode_into(data.reshape(1, -1), fmt, scale, None, how, codes.reshape(1, -1), data.shape)
        return None, 1.0
    if not data.size:
        return np.empty(data.shape, np.uint8), 1.0
    columns = _columns(data)
    return encode_blocks(data.reshape(-1, columns), fmt, how, codes.reshape(-1, columns), data.shape)


def decode(encoded: Encoded, *, dtype: Any = None, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """Return the values of codes: exactly what :func:`fpsim.quantize` returns for the same input.

    Args:
        encoded: from :func:`encode` or ``fpsim.unpack``.
        dtype: float32 or float64; default that of ``out``, or the working width that the input was rounded in.
        out: where to write, a NumPy array of the shape and of type float32 or float64.

    Raises:
        FpsimError: another type or shape; codes that do not exist in the format.
    """
    if dtype is None:
        dtype = out.dtype if out is not None else np.float64 if encoded.width == 64 else np.float32
    if dtype not in (np.float32, np.float64):
        raise FpsimError(f"codes cannot be decoded to {dtype}; choose float32 or float64")
    fmt, real = encoded.format, np.dtype(dtype).type
    values, result = _buffer(out, encoded.shape, (real,), "decoded values")
    columns, codes = encoded.shape[-1] if encoded.shape else 1, np.ascontiguousarray(encoded.codes)
    if not isinstance(fmt, BlockFormat):
        scale = np.full((1, 1), fmt.scale(values.dtype.itemsize * 8), values.dtype)
        decode_into(codes.reshape(1, -1), fmt, scale, None, values.reshape(1, -1))
    elif encoded.codes.size:
        if encoded.scales is None:
            raise FpsimError(f"codes of {fmt.name} need the codes of their scales, but there are none")
        rows = codes.reshape(-1, columns), values.reshape(-1, columns)
        decode_blocks(rows[0], encoded.scales, encoded.tensor_scale, fmt, rows[1])
    if result is not values:
        result[...] = values
    return result


def _buffer(out: Any, shape: tuple[int, ...], types: tuple[Any, ...], what: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """A contiguous array to write to, and the array to return: the same one, or the user's strided one.

    Raises:
        FpsimError: the user's is of another kind, type or shape, or read-only.
    """
    if out is None:
        fresh = np.empty(shape, types[0])
        return fresh, fresh
    name = np.dtype(types[0]).name
    if not isinstance(out, np.ndarray) or out.dtype != types[0] or out.shape != shape or not out.flags.writeable:
        given = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise FpsimError(f"out is {given}; {what} need a writable NumPy array of type {name} and shape {shape}")
    return (out if out.flags.c_contiguous else np.empty(shape, types[0])), out


__all__ = ["decode", "decode_rows", "encode", "encode_rows"]
