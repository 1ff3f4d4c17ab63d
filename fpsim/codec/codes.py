"""Between grid values and codes, for whole arrays."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat, Specials


def code_dtype(bits: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest unsigned type for codes of a width."""
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32


def codes_of(grid: NDArray[np.floating], fmt: ElementFormat) -> NDArray[Any]:
    """Codes of values that lie on a format's integer-bias grid.

    Args:
        grid: float32 or float64 values, each exactly on the grid, or NaN.
        fmt: the element format.

    Raises:
        FpsimError: NaN in a format without NaN.
    """
    nan = np.isnan(grid)
    nan_code = fmt.nan_code if isinstance(fmt, FloatFormat) else None
    if nan_code is None and nan.any():
        place = tuple(int(i) for i in np.argwhere(nan)[0])
        raise FpsimError(
            f"the value at {place} is NaN, but {fmt.name} has no NaN code; choose a format with NaN (e4m3)"
        )
    values = np.where(nan, grid.dtype.type(0), grid)
    if isinstance(fmt, IntFormat):
        codes = values.astype(np.int64) & ((1 << fmt.bits) - 1)
    elif isinstance(fmt, CodebookFormat):
        codes = np.searchsorted(np.asarray(fmt.values, grid.dtype), values)
    else:
        codes = np.where(nan, nan_code or 0, _float_codes(values, fmt))
    return codes.astype(code_dtype(fmt.bits))


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
        values: NDArray[Any] = _lookup(fmt, dtype)[codes]
        return values
    return _values(codes, fmt, dtype)


@lru_cache(maxsize=256)
def _lookup(fmt: ElementFormat, dtype: Any) -> NDArray[Any]:
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    return _values(np.arange(count), fmt, dtype)


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
    values = np.clip(wide, -float(np.finfo(dtype).max), float(np.finfo(dtype).max)).astype(dtype)
    values[magnitude > fmt.max_code] = np.nan
    if fmt.inf_code is not None:
        values[magnitude == fmt.inf_code] = np.inf
    values = np.where((c & fmt.sign_bit) != 0, -values, values)
    if fmt.specials is Specials.FNUZ:
        values[c == fmt.nan_code] = np.nan
    return values


__all__ = ["code_dtype", "codes_of", "values_of"]
