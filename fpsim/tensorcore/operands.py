"""Operands as integers: every number of a format is ``significand · 2^(exponent − fraction bits)``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.number.names import format as named_format

#: Exponent of a zero: no sum of two exponents that contains it is ever the largest.
ZERO_EXPONENT = -4000
#: Names of formats by the names of operand types; block formats stand for their elements.
_NAMES = {"fp16": "binary16", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A matrix as integers.

    Args:
        significand: signed, of at most ``mantissa_bits + 1`` bits; 0 where the number is 0 or not finite.
        exponent: of the significand's leading place; subnormals have the format's least, zeros `ZERO_EXPONENT`.
        fraction_bits: places of the significand behind its point.
        special: 0 finite, ±1 infinite, 2 NaN; None if everything is finite.
    """

    significand: NDArray[np.int32]
    exponent: NDArray[np.int32]
    fraction_bits: int
    special: NDArray[np.int8] | None

    def at(self, place: Any) -> Operand:
        """Return the part at an index."""
        special = None if self.special is None else self.special[place]
        if special is not None and not special.any():
            special = None
        return replace(self, significand=self.significand[place], exponent=self.exponent[place], special=special)

    @property
    def transposed(self) -> Operand:
        """The transpose."""
        special = None if self.special is None else self.special.T
        return replace(self, significand=self.significand.T, exponent=self.exponent.T, special=special)


def element_format(name: str) -> FloatFormat:
    """Return the format of the elements of an operand type."""
    fmt: Any = named_format(_NAMES.get(name, name))
    element = getattr(fmt, "element", fmt)
    assert isinstance(element, FloatFormat)
    return element


def least_exponent(fmt: FloatFormat) -> int:
    """The exponent of the smallest normal number."""
    return 1 - int(fmt.bias)


def as_float32(values: Any, what: str) -> NDArray[np.float32]:
    """Return an array as float32, or refuse what float32 does not hold.

    Raises:
        FpsimError: no numbers, or a number that is no float32.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.dtype.itemsize > 8:
        raise FpsimError(f"{what} holds {array.dtype}; give float16, float32 or float64 numbers")
    if array.dtype == np.float32:
        return np.ascontiguousarray(array)
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(array, dtype=np.float32)
    wrong = (narrow != array) & ~(np.isnan(narrow) & np.isnan(array))
    if wrong.any():
        refuse(array, wrong, what, "float32")
    return narrow


def refuse(array: NDArray[Any], wrong: NDArray[np.bool_], what: str, name: str) -> None:
    """Raise the error that names the first number that a type does not hold."""
    place = tuple(int(index) for index in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
    where = f"{what}[{', '.join(map(str, place))}]"
    raise FpsimError(f"{where} is {array[place]!s}, which {name} does not hold; quantize to {name} first")


def split(values: Any, name: str, what: str) -> Operand:
    """Return numbers of a format as integers.

    Args:
        values: an array whose numbers the format holds.
        name: the operand type, such as ``e4m3``.
        what: the array's name in errors.

    Raises:
        FpsimError: a number that the format does not hold; names the first.
    """
    from fpsim.tensorcore.operand_kernels import WRONG, classify, take_apart  # Numba loads when something is multiplied

    fmt = element_format(name)
    x = as_float32(values, what)
    top = np.float32(fmt.max).view(np.int32)
    has = fmt.nan_code is not None, fmt.inf_code is not None
    facts = np.array([least_exponent(fmt), fmt.mantissa_bits, top, *has, ZERO_EXPONENT], np.int32)
    significand, exponent, kind = np.empty(x.shape, np.int32), np.empty(x.shape, np.int32), None
    flat = x.view(np.int32).reshape(-1), facts, significand.reshape(-1), exponent.reshape(-1)
    if take_apart(*flat):
        kind = np.empty(x.shape, np.int8)
        classify(*flat, kind.reshape(-1))
        if (wrong := kind == WRONG).any():
            refuse(x, wrong, what, name)
    return Operand(significand=significand, exponent=exponent, fraction_bits=fmt.mantissa_bits, special=kind)
