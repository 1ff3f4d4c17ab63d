"""Codes of rows with scales, and back: the one way that all encoding and decoding goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.codec.codes import check_codes, code_dtype, codes_by_table, codes_of, nan_code, nan_error, values_of
from fpsim.codec.plan import MagicPlan, TablePlan, plan
from fpsim.codec.protocol import Backend, policy_arguments
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, IntFormat
from fpsim.number.conversion import DEFAULT, Conversion

Floats = NDArray[np.floating]
Codes = NDArray[Any]
#: Elements that go through another backend's rounding at a time: their values stay in the cache.
PIECE = 1 << 16


def encode_rows(
    x: Floats, fmt: ElementFormat, scale: Floats, zero_point: Floats | None = None, how: Conversion = DEFAULT
) -> Codes:
    """Return the codes of ``x / scale`` on the format's integer-bias grid.

    Args:
        x: float32 or float64, C-contiguous ``[rows, columns]``.
        fmt: the element format, whose own scale is in ``scale``.
        scale: ``[rows or 1, columns or 1]``, dtype of ``x``, positive: what backends divide by.
        zero_point: for unsigned integers, like ``scale``: the code is the integer plus it.
        how: rounding, overflow and NaN policies.

    Returns:
        uint8, uint16 or uint32, ``[rows, columns]``.

    Raises:
        FpsimError: NaN in a format that has none; an overflow policy that the format has no code for.
    """
    codes = np.empty(x.shape, code_dtype(fmt.bits))
    encode_into(x, fmt, scale, zero_point, how, codes, x.shape)
    return codes


def encode_into(
    x: Floats,
    fmt: ElementFormat,
    scale: Floats,
    zero_point: Floats | None,
    how: Conversion,
    codes: Codes,
    shape: tuple[int, ...],
) -> None:
    """:func:`encode_rows` into an array; ``shape`` is that of the user's array, for messages."""
    chosen = arrays.choose(None, x)
    p = plan(fmt, x.dtype.itemsize * 8, how)
    if isinstance(p, TablePlan) and not how.deterministic and p.width == 32:
        # Where float32 cannot hold the grid, several codes would have one value.
        zero_point = None if zero_point is None else zero_point.astype(np.float64)
        with np.errstate(all="ignore"):
            x, scale = (x / scale).astype(np.float64), np.ones((1, 1))
    encoder = _by_numba if compiled(x) else _by_numpy
    nan = encoder(x, fmt, scale, zero_point, how, codes, chosen)
    if nan is not None:
        raise nan_error(fmt, tuple(int(i) for i in np.unravel_index(nan, shape)))


def compiled(x: NDArray[Any]) -> bool:
    """Whether compiled loops serve: each takes as long to compile as NumPy takes for a thousand small arrays."""
    return x.size >= arrays.SMALL


def _by_numba(
    x: Floats,
    fmt: ElementFormat,
    scale: Floats,
    zero_point: Floats | None,
    how: Conversion,
    codes: Codes,
    chosen: Backend,
) -> int | None:
    """Write codes by compiled loops; return the flat index of the first NaN without a code."""
    from fpsim.codec.numba import coder

    fused, p = coder.fused(x, fmt, how), plan(fmt, x.dtype.itemsize * 8, how)
    if fused is not None:
        return coder.encode(x, scale, zero_point, fused, codes)
    if isinstance(p, TablePlan) and how.deterministic:
        return coder.encode_by_table(x, fmt, scale, how, p, codes)
    # Random bits follow the element's place in the whole array: it must not be taken apart.
    whole = slice(0, x.shape[0]), slice(0, x.shape[1])
    for place in _pieces(x.shape) if how.deterministic else [whole]:
        s, z, target = _part(scale, place), None if zero_point is None else _part(zero_point, place), codes[place]
        grid = _on_grid(x[place], fmt, s, z, how, chosen)
        if isinstance(p, TablePlan):
            nan = coder.encode_by_table(grid, fmt, np.ones((1, 1), grid.dtype), how, p, target)
        else:
            assert not isinstance(fmt, CodebookFormat), "codebooks have a table"
            nan = coder.encode_grid(grid, fmt, z, target)
        if nan is not None:
            row, column = np.unravel_index(nan, grid.shape)
            return int((row + place[0].start) * x.shape[1] + column + place[1].start)
    return None


def _by_numpy(
    x: Floats,
    fmt: ElementFormat,
    scale: Floats,
    zero_point: Floats | None,
    how: Conversion,
    codes: Codes,
    chosen: Backend,
) -> int | None:
    """:func:`_by_numba` by NumPy."""
    p, nan = plan(fmt, x.dtype.itemsize * 8, how), nan_code(fmt, how)
    if isinstance(p, TablePlan):
        with np.errstate(all="ignore"):
            t = x / scale if how.deterministic else _on_grid(x, fmt, scale, zero_point, how, chosen)
        codes[...] = codes_by_table(t, fmt, p, nan)
    else:
        assert not isinstance(fmt, CodebookFormat), "codebooks have a table"
        grid = _on_grid(x, fmt, scale, zero_point, how, chosen)
        codes[...] = codes_of(grid if zero_point is None else grid + zero_point, fmt)
    missing = np.isnan(x)
    return int(np.argmax(missing)) if nan is None and missing.any() else None


def _on_grid(
    x: Floats, fmt: ElementFormat, scale: Floats, zero_point: Floats | None, how: Conversion, chosen: Backend
) -> Floats:
    """The grid values of ``x / scale``."""
    with np.errstate(all="ignore"):
        t = x / scale
    one = np.ones((1, 1), t.dtype) if zero_point is None else np.ones_like(zero_point)
    chosen.quantize(t, fmt, one, t, zero_point, **policy_arguments(chosen, how))
    return t


def _pieces(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Parts of a matrix that are contiguous: of whole rows, or of one row."""
    rows, columns = shape
    together = max(1, PIECE // max(columns, 1))
    for first in range(0, rows, together):
        part = slice(first, min(rows, first + together))
        if together > 1:
            yield part, slice(0, columns)
        else:
            yield from ((part, slice(left, min(columns, left + PIECE))) for left in range(0, columns, PIECE))


def _part(scale: Floats, place: tuple[slice, slice]) -> Floats:
    """The scales of a part."""
    rows = place[0] if scale.shape[0] > 1 else slice(None)
    return np.ascontiguousarray(scale[rows, place[1] if scale.shape[1] > 1 else slice(None)])


def decode_rows(codes: Codes, fmt: ElementFormat, scale: Floats, zero_point: Floats | None = None) -> NDArray[Any]:
    """Return grid values times ``scale``: what the backends write for the numbers that became these codes.

    Args:
        codes: unsigned integers, C-contiguous ``[rows, columns]``.
        fmt: the element format, whose own scale is in ``scale``.
        scale: ``[rows or 1, columns or 1]``, float32 or float64, which is the type of the result.
        zero_point: for unsigned integers, like ``scale``: it is subtracted from the codes.

    Raises:
        FpsimError: a code that does not exist.
    """
    out = np.empty(codes.shape, scale.dtype)
    decode_into(codes, fmt, scale, zero_point, out)
    return out


def decode_into(codes: Codes, fmt: ElementFormat, scale: Floats, zero_point: Floats | None, out: Floats) -> None:
    """:func:`decode_rows` into an array."""
    if codes.dtype.kind != "u":
        raise FpsimError(f"codes are of type {codes.dtype}; unsigned integers are needed")
    p, real = plan(fmt, scale.dtype.itemsize * 8), scale.dtype.type
    added = real(p.zero) if isinstance(p, MagicPlan) else real(-0.0)
    if compiled(codes):
        from fpsim.codec.numba import coder

        if coder.decode(codes, fmt, scale, zero_point, float(added), out):
            return
    check_codes(codes, fmt)
    grid = values_of(codes, fmt, real)
    if zero_point is not None and isinstance(fmt, IntFormat):
        grid = grid - zero_point
    with np.errstate(all="ignore"):
        np.add(grid * scale, added, out=out)
