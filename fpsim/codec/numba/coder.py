"""Encoding and decoding by compiled loops: which loop serves, and what it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.code_plan import CodePlan, decode_plan, encode_plan, grid_plan
from fpsim.codec.codes import check_codes, lookup, nan_code
from fpsim.codec.numba import code_kernels as kernels
from fpsim.codec.numba import code_tables as tables
from fpsim.codec.numba.kernels import CHUNK, FEW
from fpsim.codec.numba.threads import run
from fpsim.codec.tables import TablePlan
from fpsim.number import ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding

Floats = NDArray[np.floating]
#: Lengths of rows that have a loop of their own; each is compiled when first used.
BLOCKS = (16, 32, 64, 128)


def fused(x: Floats, fmt: ElementFormat, how: Conversion) -> CodePlan | None:
    """How numbers become codes in one pass, or None."""
    if how.rounding is not Rounding.TIES_TO_EVEN or how.overflow is not Overflow.SATURATE:
        return None
    if isinstance(fmt, IntFormat) and how.nan is not NanPolicy.KEEP:
        return None
    return encode_plan(fmt, x.dtype.itemsize * 8, how.nan)


def encode(x: Floats, scale: Floats, zero_point: Floats | None, p: CodePlan, codes: NDArray[Any]) -> int | None:
    """Write the codes of ``x / scale``; return the flat index of the first NaN that has none."""
    seen = _seen(x)
    if zero_point is not None:
        lo, hi, _, mask = p.constants
        offset = zero_point.astype(type(mask))
        run(kernels.zero_point_encoder, x, codes, scale, seen, lo - zero_point, hi - zero_point, offset, mask)
    elif scale.shape[1] > 1:
        run(kernels.column_encoder(p.kind, p.signs), x, codes, scale, seen, p.constants)
    elif _in_blocks(x, scale):
        kernel = kernels.block_encoder(x.shape[1], p.kind, p.signs)
        run(kernel, x.reshape(-1), codes.reshape(-1), scale.reshape(-1), seen, p.constants)
    else:
        inverse = _exact_inverse(scale)
        kernel = kernels.encoder(p.kind, p.signs, inverse is not None)
        run(kernel, x, codes, scale if inverse is None else inverse, seen, p.constants)
    return None if p.has_nan else _first_nan(x, seen)


def _exact_inverse(scale: Floats) -> Floats | None:
    """The inverse of a power of two, whose product is the quotient; None for other scales, and for several."""
    tiny = np.finfo(scale.dtype).tiny
    if scale.size > 1 or np.frexp(scale.flat[0])[0] != 0.5 or not tiny <= scale.flat[0] <= 1 / tiny:
        return None
    inverse: Floats = scale.dtype.type(1) / scale
    return inverse


def encode_grid(
    grid: Floats, fmt: FloatFormat | IntFormat, zero_point: Floats | None, codes: NDArray[Any]
) -> int | None:
    """Write the codes of grid values, Inf and NaN; return as :func:`encode`."""
    one = np.ones((1, 1), grid.dtype) if zero_point is None else np.ones_like(zero_point)
    return encode(grid, one, zero_point, grid_plan(fmt, grid.dtype.itemsize * 8), codes)


def encode_by_table(
    x: Floats, fmt: ElementFormat, scale: Floats, how: Conversion, p: TablePlan, codes: NDArray[Any]
) -> int | None:
    """Write the codes of ``x / scale`` by the thresholds of a conversion; return as :func:`encode`."""
    kernel, seen, code = tables.small_table if len(p.codes) <= FEW else tables.table, _seen(x), codes.dtype.type
    nan = nan_code(fmt, how)
    zero = code(fmt.sign_bit if isinstance(fmt, FloatFormat) and fmt.has_negative_zero else 0)
    run(kernel, x, codes, scale, seen, p.thresholds, p.codes.astype(code), zero, code(nan or 0))
    return _first_nan(x, seen) if nan is None else None


def decode(
    codes: NDArray[Any], fmt: ElementFormat, scale: Floats, zero_point: Floats | None, zero: float, out: Floats
) -> bool:
    """Write ``value · scale + zero``; False where a code has bits that the format lacks, or no loop serves."""
    real, width = scale.dtype.type, scale.dtype.itemsize * 8
    p = decode_plan(fmt, width)
    if codes.dtype.itemsize > 4:
        return False
    if p is None or zero_point is not None or scale.shape[1] > 1:
        return _by_table(codes, fmt, scale, zero_point, zero, out)
    seen = _seen(codes)
    if _in_blocks(codes, scale):
        kernel = kernels.block_decoder(codes.shape[1], p.kind)
        flat = codes.reshape(-1), out.reshape(-1), scale.reshape(-1)
        run(kernel, *flat, real(zero), seen, p.constants)
    else:
        run(kernels.decoder(p.kind, width == 32), codes, out, scale, real(zero), seen, p.constants)
    return fmt.bits == codes.dtype.itemsize * 8 or not (seen >> fmt.bits).any()


def _by_table(
    codes: NDArray[Any], fmt: ElementFormat, scale: Floats, zero_point: Floats | None, zero: float, out: Floats
) -> bool:
    if fmt.bits > 16 or codes.dtype.itemsize * 8 > (8 if fmt.bits <= 8 else 16):
        return False
    check_codes(codes, fmt)
    points, real = np.zeros_like(scale) if zero_point is None else zero_point, scale.dtype.type
    run(tables.lookup, codes, out, scale, points, real(zero), lookup(fmt, scale.dtype))
    return True


def _in_blocks(x: NDArray[Any], scale: Floats) -> bool:
    return x.shape[1] in BLOCKS and scale.shape[0] == x.shape[0]


def _seen(x: NDArray[Any]) -> NDArray[np.int32]:
    """A place for each task's notes."""
    rows, columns = x.shape
    return np.zeros(rows * -(-columns // CHUNK), np.int32)


def _first_nan(x: Floats, seen: NDArray[np.int32]) -> int | None:
    if not seen.any():
        return None
    return int(np.flatnonzero(np.isnan(x).reshape(-1))[0])
