"""Between grid values and codes, for whole arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.plan import TablePlan
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat, Specials


def code_dtype(bits: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest unsigned type for codes of a width.

    Raises:
        FpsimError: more than 32 bits.
    """
    if bits > 32:
        raise FpsimError(f"codes of {bits} bits are not available; 32 bits are the most")
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32


def codes_of(grid: NDArray[np.floating], fmt: FloatFormat | IntFormat) -> NDArray[Any]:
    """Codes of values that lie on a format's integer-bias grid.

    Args:
        grid: float32 or float64 values, each exactly on the grid, or NaN.
        fmt: the element format.

    Raises:
        FpsimError: NaN in a format without NaN.
    """
    dtype, nan, nan_code = code_dtype(fmt.bits), np.isnan(grid), _nan_code(grid, fmt)
    values = np.where(nan, grid.dtype.type(0), grid)
    if isinstance(fmt, IntFormat):
        codes: NDArray[Any] = values.astype(np.int64) & ((1 << fmt.bits) - 1)
    else:
        codes = np.where(nan, nan_code, _float_codes(values, fmt))
    return codes.astype(dtype)


def codes_by_table(t: NDArray[np.floating], fmt: ElementFormat, table: TablePlan) -> NDArray[Any]:
    """Codes of numbers that are yet to be rounded, also where the working width cannot hold the whole grid.

    Raises:
        FpsimError: NaN in a format without NaN.
    """
    nan_code = _nan_code(t, fmt)
    codes: NDArray[Any] = np.asarray(table.codes[np.searchsorted(table.thresholds, t, side="right") - 1])
    if isinstance(fmt, FloatFormat) and fmt.has_negative_zero:
        codes = np.where((codes == 0) & np.signbit(t), fmt.sign_bit, codes)
    return np.where(np.isnan(t), nan_code, codes).astype(code_dtype(fmt.bits))


def _nan_code(values: NDArray[np.floating], fmt: ElementFormat) -> int:
    code = fmt.nan_code if isinstance(fmt, FloatFormat) else None
    if code is not None:
        return code
    nan = np.isnan(values)
    if nan.any():
        place = tuple(int(i) for i in np.argwhere(nan)[0])
        raise FpsimError(
            f"the value at {place} is NaN, but {fmt.name} has no NaN code; choose a format with NaN (e4m3)"
        )
    return 0


def _float_codes(values: NDArray[np.floating], fmt: FloatFormat) -> NDArray[np.int64]:
    exponent = np.frexp(np.abs(values).astype(np.float64))[1]
    exponent = np.where(values == 0, fmt.emin, np.maximum(exponent - 1, fmt.emin)).astype(np.int64)
    # In units of the last place; a normal number carries the hidden bit, which becomes the exponent field's 1.
    units = np.ldexp(np.abs(values).astype(np.float64), fmt.mantissa_bits - exponent).astype(np.int64)
    codes = ((exponent - fmt.emin) << fmt.mantissa_bits) + units
    if not fmt.zero:
        codes = codes - (1 << fmt.mantissa_bits)  # field 0 is a normal binade
    negative = np.signbit(values) & ((values != 0) | fmt.has_negative_zero)
    signed: NDArray[np.int64] = np.where(negative, codes | fmt.sign_bit, codes)
    return signed


def values_of(codes: NDArray[Any], fmt: ElementFormat, dtype: type[np.floating]) -> NDArray[Any]:
    """Grid values of codes, in a working type; what it cannot hold becomes its nearest finite value.

    Raises:
        FpsimError: a code that does not exist.
    """
    limit = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    if codes.size and int(codes.max()) >= limit:
        raise FpsimError(f"code {int(codes.max())} does not exist in {fmt.name}, which has {limit} codes")
    if fmt.bits <= 16:
        values: NDArray[Any] = _lookup(fmt, np.dtype(dtype))[codes]
        return values
    return _values(codes, fmt, dtype)


@lru_cache(maxsize=256)
def _lookup(fmt: ElementFormat, dtype: np.dtype[Any]) -> NDArray[Any]:
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    return _values(np.arange(count), fmt, dtype.type)


def _values(codes: NDArray[Any], fmt: ElementFormat, dtype: type[np.floating]) -> NDArray[Any]:
    c = codes.astype(np.int64)
    if isinstance(fmt, CodebookFormat):
        return np.asarray(fmt.values, dtype)[c]
    if isinstance(fmt, IntFormat):
        return np.where(fmt.signed & (c >> (fmt.bits - 1) == 1), c - (1 << fmt.bits), c).astype(dtype)
    magnitude = c & fmt.magnitude_mask
    field, mantissa = magnitude >> fmt.mantissa_bits, magnitude & ((1 << fmt.mantissa_bits) - 1)
    subnormal = (field == 0) & fmt.zero
    significand = np.where(subnormal, mantissa * fmt.subnormals, mantissa + (1 << fmt.mantissa_bits))
    exponent = np.where(subnormal, 1, field) - int(fmt.grid.bias) - fmt.mantissa_bits
    with np.errstate(over="ignore"):
        wide = np.ldexp(significand.astype(np.float64), exponent)
    values: NDArray[Any] = np.clip(wide, -float(np.finfo(dtype).max), float(np.finfo(dtype).max)).astype(dtype)
    values[magnitude > fmt.max_code] = np.nan
    if fmt.inf_code is not None:
        values[magnitude == fmt.inf_code] = np.inf
    values = np.where((c & fmt.sign_bit) != 0, -values, values)
    if fmt.specials is Specials.FNUZ:
        values = np.where(c == fmt.nan_code, np.nan, values + dtype(0)).astype(dtype)  # the other codes hold no −0
    return values


__all__ = ["code_dtype", "codes_by_table", "codes_of", "values_of"]
