"""int8 products: exact sums that wrap as int32 does."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore.operands import refuse

Int32 = NDArray[np.int32]


def whole(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    """Return int8 numbers as float64, in which sums of fewer than 2^39 products are exact.

    Raises:
        FpsimError: a number that is no integer from −128 to 127; names the first.
    """
    given = np.asarray(values)
    numbers = np.asarray(given, np.float64)
    wrong = ~((numbers >= -128) & (numbers <= 127) & (numbers == np.rint(numbers)))
    if wrong.any():
        refuse(given, wrong, what, "int8")
    return numbers


def matmul(a: NDArray[Any], b: NDArray[Any], start: Int32) -> Int32:
    """Return a·b + start, modulo 2^32."""
    return _wrapped(whole(a, "a") @ whole(b, "b"), start)


def dot(a: NDArray[Any], b: NDArray[Any], start: Int32) -> Int32:
    """Return the sums of a·b along the last axis + start, modulo 2^32."""
    return _wrapped(np.sum(whole(a, "a") * whole(b, "b"), axis=-1), start)


def _wrapped(exact: NDArray[np.float64], start: Int32) -> Int32:
    return (exact.astype(np.int64) + start).astype(np.int32)
