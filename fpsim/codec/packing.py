"""Codes without gaps: a stream of bits, the first code in the low bits of the first byte.

So two 4-bit codes share a byte, the first in its low half (the order of torch's ``float4_e2m1fn_x2``), and four 6-bit
codes fill three bytes. Eight codes of any width fill whole bytes, so groups of eight are independent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.codes import code_dtype
from fpsim.errors import FpsimError

#: Below this many codes NumPy answers sooner than Numba compiles.
SMALL = 1 << 14
#: Codes whose bits NumPy takes apart at a time, a byte for each.
PIECE = 1 << 12
GROUP = 8


def packed_size(count: int, bits: int) -> int:
    """Bytes that ``count`` codes of a width fill."""
    return (count * bits + 7) // 8


def pack(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return codes without gaps, as bytes; bits above the width are dropped.

    Args:
        codes: unsigned integers of any shape, in C order.
        bits: width of a code, 1 to 32. Codes of 8, 16 and 32 bits are not copied if they can be viewed as bytes.

    >>> pack(np.array([0x1, 0x2, 0xF], np.uint8), 4)
    array([33, 15], dtype=uint8)
    """
    flat = np.ascontiguousarray(codes, code_dtype(bits)).reshape(-1)
    if bits == flat.dtype.itemsize * 8:
        return flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8)
    packed = np.empty(packed_size(flat.size, bits), np.uint8)
    groups = flat.size // GROUP if flat.size >= SMALL else 0
    if groups:
        from fpsim.codec.numba.packing import pack_groups

        pack_groups(flat[: groups * GROUP], packed[: groups * bits], bits)
    for first in range(groups * GROUP, flat.size, PIECE):
        part = _pack_piece(flat[first : first + PIECE], bits)
        packed[first * bits // 8 :][: part.size] = part
    return packed


def unpack(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[Any]:
    """Return the codes of :func:`pack`: uint8, uint16 or uint32, ``[count]``.

    Args:
        packed: bytes.
        bits: width of a code, 1 to 32. Codes of 8 bits, and whole aligned ones of 16 and 32, are not copied.
        count: number of codes.

    Raises:
        FpsimError: the number of bytes does not fit the number of codes.
    """
    dtype = np.dtype(code_dtype(bits))
    if packed.size != packed_size(count, bits):
        raise FpsimError(
            f"{packed.size} bytes cannot hold {count} codes of {bits} bits: {packed_size(count, bits)} would"
        )
    flat = np.ascontiguousarray(packed, np.uint8).reshape(-1)
    if bits == dtype.itemsize * 8:
        return flat.view(dtype.newbyteorder("<")).astype(dtype, copy=False)
    codes = np.empty(count, dtype)
    groups = count // GROUP if count >= SMALL else 0
    if groups:
        from fpsim.codec.numba.packing import unpack_groups

        unpack_groups(flat[: groups * bits], codes[: groups * GROUP], bits)
    for first in range(groups * GROUP, count, PIECE):
        codes[first : first + PIECE] = _unpack_piece(flat[first * bits // 8 :], bits, min(PIECE, count - first))
    return codes


def _pack_piece(codes: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    places = np.arange(bits, dtype=codes.dtype)
    apart = (codes.reshape(-1, 1) >> places) & codes.dtype.type(1)
    return np.packbits(apart.astype(np.uint8).reshape(-1), bitorder="little")


def _unpack_piece(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[Any]:
    apart = np.unpackbits(packed[: packed_size(count, bits)], count=bits * count, bitorder="little")
    places = np.arange(bits, dtype=np.uint32)
    codes: NDArray[Any] = (apart.reshape(count, bits).astype(np.uint32) << places).sum(axis=1, dtype=np.uint32)
    return codes


__all__ = ["pack", "packed_size", "unpack"]
