"""How many values lie beyond the range of a format."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat

#: The ends of a range are rounded products; a value beyond them by no more than this is the one that set the scale.
_SLACK = 2.0**-21
_CHUNK = 1 << 20


def clipped(x: NDArray[Any], y: NDArray[Any], codes: NDArray[Any], fmt: ElementFormat) -> int:
    """Return how many values became the nearest end of the format's range, or its Inf or NaN, from beyond it.

    Args:
        x: values, float32 or float64, finite.
        y: what became of them.
        codes: their codes, of the same shape.
        fmt: the format of the codes.
    """
    flat = [array.reshape(-1) for array in (x, y, codes)]
    total = 0
    for start in range(0, x.size, _CHUNK):
        some = (array[start : start + _CHUNK] for array in flat)
        total += _clipped(fmt, *some)
    return total


def _clipped(fmt: ElementFormat, x: NDArray[Any], y: NDArray[Any], codes: NDArray[Any]) -> int:
    highest, lowest, special = _ends(codes, fmt)
    slack = np.abs(y) * y.dtype.type(_SLACK)
    with np.errstate(invalid="ignore"):
        beyond = (highest & (x - y > slack)) | (lowest & (y - x > slack)) | special
    return int(np.count_nonzero(beyond))


def _ends(codes: NDArray[Any], fmt: ElementFormat) -> tuple[Any, Any, Any]:
    """Where the codes are those of the largest value, of the lowest one, and of Inf or NaN."""
    nowhere = np.zeros(codes.shape, np.bool_)
    if isinstance(fmt, CodebookFormat):
        return codes == len(fmt.values) - 1, codes == 0, nowhere
    if isinstance(fmt, IntFormat):
        mask = (1 << fmt.bits) - 1
        return codes == fmt.hi & mask, codes == fmt.lo & mask, nowhere
    return _float_ends(codes, fmt)


def _float_ends(codes: NDArray[Any], fmt: FloatFormat) -> tuple[Any, Any, Any]:
    magnitude = codes & codes.dtype.type(fmt.magnitude_mask)
    negative = (codes & codes.dtype.type(fmt.sign_bit)) != 0 if fmt.signed else np.zeros(codes.shape, np.bool_)
    special = magnitude > fmt.max_code
    if fmt.nan_code is not None:
        special |= codes == fmt.nan_code
    lowest = negative & (magnitude == fmt.max_code) if fmt.signed else codes == 0
    return ~negative & (magnitude == fmt.max_code), lowest, special
