"""8-bit integer products: exact sums that wrap as int32 does, or stop at its ends after each instruction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore.integer_types import LARGEST, LEAST, RANGES
from fpsim.tensorcore.operands import refuse

Int32 = NDArray[np.int32]
Floats = NDArray[np.float64]
Types = tuple[str, str]


def whole(values: NDArray[Any], what: str, name: str) -> Floats:
    """Return numbers of an integer type as float64, in which sums of fewer than 2^37 products are exact.

    Raises:
        FpsimError: a number that the type does not hold; names the first.
    """
    given = np.asarray(values)
    numbers = np.asarray(given, np.float64)
    low, high = RANGES[name]
    wrong = ~((numbers >= low) & (numbers <= high) & (numbers == np.rint(numbers)))
    if wrong.any():
        refuse(given, wrong, what, name)
    return numbers


def matmul(a: NDArray[Any], b: NDArray[Any], start: Int32, types: Types, step: int | None = None) -> Int32:
    """Return a·b + start, modulo 2^32, or limited to int32 after each ``step`` products.

    Args:
        a: [M, K], numbers of the first type.
        b: [K, N], numbers of the second.
        start: [M, N].
        types: ``int8`` or ``uint8``, of a and b.
        step: products of one instruction that saturates; None for one that wraps.

    Raises:
        FpsimError: a number that its type does not hold.
    """
    x, y = whole(a, "a", types[0]), whole(b, "b", types[1])
    return _summed(lambda part: x[:, part] @ y[part], (x, y), x.shape[1], start, step)


def dot(a: NDArray[Any], b: NDArray[Any], start: Int32, types: Types, step: int | None = None) -> Int32:
    """Return the sums of a·b along the last axis + start; otherwise as :func:`matmul`."""
    x, y = whole(a, "a", types[0]), whole(b, "b", types[1])
    return _summed(lambda part: np.sum(x[:, part] * y[:, part], axis=-1), (x, y), x.shape[1], start, step)


def _summed(
    sums: Callable[[slice], Floats], operands: tuple[Floats, Floats], k: int, start: Int32, step: int | None
) -> Int32:
    """The accumulator after all products."""
    if step is None or _within(operands, k, start):
        return (sums(slice(None)).astype(np.int64) + start).astype(np.int32)
    total = start.astype(np.int64)
    for begin in range(0, k, step):
        total = np.clip(total + sums(slice(begin, begin + step)).astype(np.int64), LEAST, LARGEST)
    return total.astype(np.int32)


def _within(operands: tuple[Floats, Floats], k: int, start: Int32) -> bool:
    """Whether no partial sum can leave int32."""
    a, b = (float(np.abs(x).max(initial=0)) for x in operands)
    return k * a * b + float(np.abs(start.astype(np.int64)).max(initial=0)) <= LARGEST
