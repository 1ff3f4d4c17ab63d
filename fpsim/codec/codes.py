"""Between grid values and codes, for whole arrays, in NumPy."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.tables import TablePlan
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy
from fpsim.number.exact import encode


def code_dtype(bits: int) -> type[np.unsignedinteger[Any]]:
    """The narrowest unsigned type for codes of a width.

    Raises:
        FpsimError: more than 32 bits.
    """
    if bits > 32:
        raise FpsimError(f"codes of {bits} bits are not available; 32 bits are the most")
    return np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32


def nan_code(fmt: ElementFormat, how: Conversion = DEFAULT) -> int | None:
    """What NaN becomes; None where that is an error."""
    if isinstance(fmt, FloatFormat) and fmt.nan_code is not None:
        return fmt.nan_code
    return None if how.nan is NanPolicy.KEEP else encode(fmt.grid, float("nan"), how)


def nan_error(fmt: ElementFormat, place: tuple[int, ...]) -> FpsimError:
    """The error of a NaN that has no code."""
    return FpsimError(
        f"the value at {place} is NaN, but {fmt.name} has no NaN code; choose a format with NaN (e4m3) or another "
        "NaN policy (nan='zero' or 'max')"
    )


def codes_of(grid: NDArray[np.floating], fmt: FloatFormat | IntFormat) -> NDArray[Any]:
    """Codes of values that lie on a format's integer-bias grid.

    Args:
        grid: float32 or float64 values, each exactly on the grid, or Inf or NaN where the format has them.
        fmt: the element format.
    """
    finite = np.where(np.isfinite(grid), grid, grid.dtype.type(0))
    if isinstance(fmt, IntFormat):
        codes: NDArray[Any] = finite.astype(np.int64) & ((1 << fmt.bits) - 1)
    else:
        infinite = np.where(np.signbit(grid), fmt.sign_bit, 0) | (fmt.inf_code or 0)
        codes = np.where(np.isinf(grid), infinite, _float_codes(finite, fmt))
    return np.where(np.isnan(grid), nan_code(fmt) or 0, codes).astype(code_dtype(fmt.bits))


def codes_by_table(t: NDArray[np.floating], fmt: ElementFormat, table: TablePlan, nan: int | None) -> NDArray[Any]:
    """Codes of numbers that are yet to be rounded, also where the working width cannot hold the whole grid.

    Args:
        t: float32 or float64.
        fmt: the element format.
        table: its table for a conversion.
        nan: the code that NaN becomes.
    """
    codes: NDArray[Any] = np.asarray(table.codes[np.searchsorted(table.thresholds, t, side="right") - 1])
    if isinstance(fmt, FloatFormat) and fmt.has_negative_zero:
        codes = np.where((codes == 0) & np.signbit(t), fmt.sign_bit, codes)
    return np.where(np.isnan(t), nan or 0, codes).astype(code_dtype(fmt.bits))


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


def code_count(fmt: ElementFormat) -> int:
    """Number of codes that exist."""
    return len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits


def check_codes(codes: NDArray[Any], fmt: ElementFormat) -> None:
    """Refuse codes that do not exist.

    Raises:
        FpsimError: there is one.
    """
    count = code_count(fmt)
    possible = codes.dtype.kind == "u" and codes.dtype.itemsize * 8 <= fmt.bits and count == 1 << fmt.bits
    if codes.size and not possible and int(codes.max()) >= count:
        raise FpsimError(f"code {int(codes.max())} does not exist in {fmt.name}, which has {count} codes")


def values_of(codes: NDArray[Any], fmt: ElementFormat, dtype: type[np.floating]) -> NDArray[Any]:
    """Grid values of codes, in a working type; what it cannot hold becomes its nearest finite value.

    Raises:
        FpsimError: a code that does not exist.
    """
    check_codes(codes, fmt)
    if fmt.bits <= 16:
        values: NDArray[Any] = lookup(fmt, np.dtype(dtype))[codes]
        return values
    return _values(codes, fmt, dtype)


@lru_cache(maxsize=256)
def lookup(fmt: ElementFormat, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The grid values of all codes of a format of at most 16 bits, and NaN up to what the type of codes holds."""
    table = np.full(np.iinfo(code_dtype(fmt.bits)).max + 1, np.nan, dtype)
    table[: code_count(fmt)] = _values(np.arange(code_count(fmt)), fmt, dtype.type)
    table.flags.writeable = False
    return table


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
    if fmt.nan_is_negative_zero:
        values = np.where(c == fmt.nan_code, np.nan, values + dtype(0)).astype(dtype)  # the other codes hold no −0
    return values


__all__ = [
    "check_codes",
    "code_count",
    "code_dtype",
    "codes_by_table",
    "codes_of",
    "lookup",
    "nan_code",
    "nan_error",
    "values_of",
]
