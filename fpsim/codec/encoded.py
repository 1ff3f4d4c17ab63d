"""Codes with what is needed to read them, and their packing into bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.packing import pack
from fpsim.codec.packing import unpack as _unpack
from fpsim.number import BlockFormat, Format


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """An array in a number format.

    Args:
        codes: uint8, uint16 or uint32 of the array's shape.
        scales: for block formats the codes of the scales, ``[rows, blocks]``; otherwise None.
        tensor_scale: the float32 scale of the whole tensor (NVFP4), otherwise 1.
        shape: the array's shape.
        format: its format.
        width: the working width in bits, 32 or 64, that the values were rounded in.
    """

    codes: NDArray[Any]
    scales: NDArray[Any] | None
    tensor_scale: float
    shape: tuple[int, ...]
    format: Format
    width: int = 32

    @property
    def element_bits(self) -> int:
        """Bits of a code."""
        return self.format.element.bits if isinstance(self.format, BlockFormat) else self.format.bits

    def pack(self) -> NDArray[np.uint8]:
        """Return the codes without gaps, first code in the low bits: two 4-bit codes a byte, four 6-bit ones in three.

        The scales stay as they are. Codes of 8, 16 and 32 bits are not copied: the bytes share their memory.

        >>> Encoded(codes=np.array([1, 2], np.uint8), scales=None, tensor_scale=1.0, shape=(2,),
        ...         format=__import__("fpsim").format("e2m1")).pack()
        array([33], dtype=uint8)
        """
        return pack(self.codes, self.element_bits)


def unpack(packed: NDArray[np.uint8], like: Encoded) -> Encoded:
    """Return an :class:`Encoded` with the codes of :meth:`Encoded.pack`.

    Args:
        packed: bytes.
        like: gives format, shape and scales.

    Raises:
        FpsimError: the number of bytes does not fit the shape.
    """
    count = math.prod(like.shape)
    codes = _unpack(packed, like.element_bits, count)
    return Encoded(
        codes=codes.reshape(like.shape),
        scales=like.scales,
        tensor_scale=like.tensor_scale,
        shape=like.shape,
        format=like.format,
        width=like.width,
    )
