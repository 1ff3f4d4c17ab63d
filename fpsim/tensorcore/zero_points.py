"""Zero points of integer operands: what they added to a product of codes, taken away exactly from the int32 sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.tensorcore.integer_types import RANGES, UINT8

if TYPE_CHECKING:
    from torch import Tensor

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


def removed(product: Int32, a: NDArray[Any], b: NDArray[Any], a_zero: Int64 | None, b_zero: Int64 | None) -> Int32:
    """Return the product of ``a − a_zero`` and ``b − b_zero`` from the product of the codes, modulo 2^32.

    Args:
        product: a·b, [M, N].
        a: codes [M, K], whole numbers.
        b: codes [K, N].
        a_zero: [M], or [1] for all rows; None is 0.
        b_zero: [N], or [1] for all columns; None is 0.

    Source: a·b − a_zero·Σb − b_zero·Σa + K·a_zero·b_zero; vLLM's CUTLASS epilogues (``ScaledEpilogueAzp``) have the
    first two terms. They subtract in int32 too, before the scales.

    >>> a, b = np.array([[3, 5]]), np.array([[2], [7]])
    >>> removed((a @ b).astype(np.int32), a, b, np.array([4]), None)  # -1·2 + 1·7
    array([[5]], dtype=int32)
    """
    if a_zero is None and b_zero is None:
        return product
    total = product.astype(np.int64)
    if a_zero is not None:
        total -= a_zero[:, None] * _sum(b, 0)
    if b_zero is not None:
        total -= _sum(a, 1)[:, None] * b_zero
    if a_zero is not None and b_zero is not None:
        total += a.shape[1] * a_zero[:, None] * b_zero
    return total.astype(np.int32)  # int64 wraps at 2^64, so modulo 2^32 nothing is lost


def _sum(codes: NDArray[Any], axis: int) -> Int64:
    found: Int64 = np.asarray(np.sum(codes, axis=axis, dtype=np.float64)).astype(np.int64)
    return found


def numbers(zero: Tensor | None) -> Int64 | None:
    """Return zero points as integers."""
    if zero is None:
        return None
    found: Int64 = zero.detach().cpu().numpy().astype(np.int64)
    return found


def named_zeros(a_zero: Int64 | None, b_zero: Int64 | None) -> dict[str, Any]:
    """Return those that there are, as a multiplier's arguments."""
    return {name: zero for name, zero in (("a_zero", a_zero), ("b_zero", b_zero)) if zero is not None}


def part_of(zero: Int64 | None, place: slice) -> Int64 | None:
    """Return the zero points of some samples or channels; one for all stays."""
    return zero if zero is None or len(zero) == 1 else zero[place]


def of_rows(zero: Int64 | None, rows: int) -> Int64 | None:
    """Return the zero points of the rows of a matrix, so many in turn for each sample."""
    return zero if zero is None or len(zero) == 1 else np.repeat(zero, rows // len(zero))


def check_padding(zero: Int64 | None, pads: list[list[int]]) -> None:
    """Refuse padding where 0 has no code.

    Raises:
        FpsimError: a zero point that is no 8-bit code.
    """
    low, high = RANGES[UINT8]
    if zero is not None and any(map(any, pads)) and ((zero < low) | (zero > high)).any():
        wrong = zero[(zero < low) | (zero > high)][0]
        raise FpsimError(
            f"zero point {wrong} is no 8-bit code, so that a convolution has no code for its padding; choose a range "
            "that includes 0 (scale rule max), or skip the layer"
        )
