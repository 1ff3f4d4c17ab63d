"""Codes of block formats and of their scales, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.blocks import block_scales
from fpsim.codec.codes import code_dtype, codes_of, nan_error, values_of
from fpsim.codec.protocol import backend
from fpsim.codec.rows import compiled, decode_into, encode_into
from fpsim.number import BlockFormat, FloatFormat
from fpsim.number.conversion import Conversion

Floats = NDArray[np.floating]
Codes = NDArray[Any]


def encode_blocks(
    x: Floats, fmt: BlockFormat, how: Conversion, codes: Codes, shape: tuple[int, ...]
) -> tuple[Codes, float]:
    """Write the codes of blocks along the last axis; return those of the scales and the tensor's scale.

    Args:
        x: ``[rows, columns]``, float32 or float64, C-contiguous, not empty.
        fmt: the block format.
        how: policies of the elements; scales follow their rule.
        codes: ``[rows, columns]``, C-contiguous.
        shape: of the user's array, for messages.
    """
    if compiled(x) and x.shape[1] % fmt.block == 0:
        done = _fused(x, fmt, how, codes, shape)
        if done is not None:
            return done
    scales, whole = _scales(x, fmt)
    factors = (scales * x.dtype.type(whole)) * x.dtype.type(fmt.element.scale(x.dtype.itemsize * 8))
    by_row, each = _as_rows(x.shape[1], fmt.block, factors)
    target = codes.reshape(by_row) if by_row else codes
    encode_into(x.reshape(by_row) if by_row else x, fmt.element, each, None, how, target, shape)
    return _scale_codes(scales, fmt.scale), whole


def decode_blocks(codes: Codes, scales: Codes, whole: float, fmt: BlockFormat, out: Floats) -> None:
    """Write the values of ``[rows, columns]`` codes and their scales' ``[rows, blocks]`` codes."""
    real, width = out.dtype.type, out.dtype.itemsize * 8
    factors = (values_of(scales, fmt.scale, real) * real(whole)) * real(fmt.element.scale(width))
    by_row, each = _as_rows(codes.shape[1], fmt.block, factors)
    if by_row:
        decode_into(codes.reshape(by_row), fmt.element, each, None, out.reshape(by_row))
    else:
        decode_into(codes, fmt.element, each, None, out)


def _fused(
    x: Floats, fmt: BlockFormat, how: Conversion, codes: Codes, shape: tuple[int, ...]
) -> tuple[Codes, float] | None:
    """:func:`encode_blocks` in one compiled pass; None where there is none."""
    from fpsim.codec.numba import block_codes as kernels
    from fpsim.codec.numba import coder

    p = coder.fused(x, fmt.element, how)
    done = None if p is None else kernels.encode(x, fmt, p, codes)
    if done is None:
        return None
    scales, whole, nan = done
    if nan:
        place = np.unravel_index(int(np.argmax(np.isnan(x))), shape)
        raise nan_error(fmt.element, tuple(int(i) for i in place))
    return _scale_codes(scales, fmt.scale), whole


def _as_rows(columns: int, block: int, factors: Floats) -> tuple[tuple[int, int] | None, Floats]:
    """The shape in which each block is a row, and the scales for it; None and a scale each if a block is short."""
    if columns % block == 0:
        return (-1, block), factors.reshape(-1, 1)
    return None, np.repeat(factors, block, axis=1)[:, :columns].copy()


def _scales(x: Floats, fmt: BlockFormat) -> tuple[Floats, float]:
    if compiled(x) and x.shape[1] % fmt.block == 0:
        from fpsim.codec.numba.block_scales import scales

        found = scales(x, fmt)
        if found is not None:
            return found
    return block_scales(x, fmt, backend("numpy"))


def _scale_codes(scales: Floats, fmt: FloatFormat) -> Codes:
    """Codes of scales in their format; float64 holds every grid."""
    if not compiled(scales):
        return codes_of(scales, fmt)
    from fpsim.codec.numba.coder import encode_grid

    codes = np.empty(scales.shape, code_dtype(fmt.bits))
    encode_grid(scales.astype(np.float64), fmt, None, codes)
    return codes
