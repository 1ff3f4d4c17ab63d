"""What multiplies matrices, and what it takes: grid values with the scales of blocks, or codes and zero points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore.architecture import types_of
from fpsim.tensorcore.integer_types import RANGES
from fpsim.tensorcore.zero_points import removed

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grid:
    """An operand without its scale in full precision.

    Args:
        values: what the multiplier gets, exactly representable in its type.
        blocks: scales of blocks along the channels, an axis of ``ceil(channels / block)``; None without.
        block: channels that share one.
        zero: where the values are codes of unsigned integers, their zero points: whole numbers ``[1]``, or one an index
            of the first axis (samples of an input, output channels of a weight); None where 0 is 0.
    """

    values: Tensor
    blocks: Tensor | None = None
    block: int = 1
    zero: Tensor | None = None


class Multiplier(Protocol):
    """Multiplies matrices of grid values."""

    def multiply(
        self,
        a: Floats,
        b: Floats,
        a_blocks: Floats | None = None,
        b_blocks: Floats | None = None,
        a_zero: Integers | None = None,
        b_zero: Integers | None = None,
    ) -> Floats:
        """Return the product of ``[M, K]`` and ``[K, N]``, with blocks ``[M, K / block]`` and ``[K / block, N]``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorCore:
    """A tensor core's instruction and how a long sum is made from it.

    Args:
        arch: an architecture, such as ``hopper``.
        dtype: an input type that it has, such as ``e4m3``, or those of both operands, ``uint8,int8``.
        promote_every: elements of K after which the sum is added to one in FP32; None keeps it in the instruction.

    >>> TensorCore(arch="hopper", dtype="e4m3", promote_every=128).promote_every
    128
    """

    arch: str
    dtype: str
    promote_every: int | None = None

    def multiply(
        self,
        a: Floats,
        b: Floats,
        a_blocks: Floats | None = None,
        b_blocks: Floats | None = None,
        a_zero: Integers | None = None,
        b_zero: Integers | None = None,
    ) -> Floats:
        """Return the product as the instruction computes it, float32 ``[M, N]``; integer sums converted to it.

        Args:
            a: ``[M, K]``, values of the type; K is filled with zeros to what the instruction takes.
            b: ``[K, N]``.
            a_blocks: scales of blocks of ``a``, ``[M, K / block]``, for types that have them.
            b_blocks: of ``b``, ``[K / block, N]``.
            a_zero: zero points of ``a``, ``[M]`` or ``[1]``, for integer types: what they add is taken away from the
                int32 sums.
            b_zero: of ``b``, ``[N]`` or ``[1]``.

        Raises:
            FpsimError: the architecture lacks the type; a value that the type does not have.
        """
        from fpsim.tensorcore import matmul

        exact = set(types_of(self.dtype)) <= set(RANGES)
        every = None if exact else self.promote_every
        product = matmul(
            a, b, arch=self.arch, dtype=self.dtype, promote_every=every, pad=True, scale_a=a_blocks, scale_b=b_blocks
        )
        if exact:
            product = removed(product.astype(np.int32, copy=False), a, b, a_zero, b_zero)
        return product.astype(np.float32, copy=False)
