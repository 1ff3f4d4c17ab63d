"""The types in which numbers arrive: their bits, their neighbours, and all numbers of the 16-bit ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.conformance.grid import Floats
from fpsim.number.exact import BFLOAT16, BINARY16, BINARY32, BINARY64
from fpsim.number.floats import FloatFormat

Bits = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputType:
    """An IEEE-like type of numbers.

    Args:
        name: ``f64``, ``f32``, ``bf16`` or ``f16``.
        format: the type as a number format.
        width: the working width that its numbers are rounded in, 32 or 64.
    """

    name: str
    format: FloatFormat
    width: int

    @property
    def bits(self) -> int:
        """Width in bits."""
        return self.format.bits

    @property
    def real(self) -> type[np.floating]:
        """The NumPy type of the working width."""
        return np.float32 if self.width == 32 else np.float64


INPUTS = {
    "f32": InputType(name="f32", format=BINARY32, width=32),
    "f64": InputType(name="f64", format=BINARY64, width=64),
    "bf16": InputType(name="bf16", format=BFLOAT16, width=32),
    "f16": InputType(name="f16", format=BINARY16, width=32),
}
WIDE = {32: INPUTS["f32"], 64: INPUTS["f64"]}


def bits_of(kind: InputType, numbers: Any) -> Bits:
    """Return the bit patterns of the numbers of a type nearest to float64 numbers."""
    wide = np.asarray(numbers, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        if kind.name == "bf16":
            pattern = wide.astype(np.float32).view(np.uint32).astype(np.uint64)
            even = (pattern >> np.uint64(16)) & np.uint64(1)
            rounded: Bits = (pattern + np.uint64(0x7FFF) + even) >> np.uint64(16)
            return np.where(np.isnan(wide), pattern >> np.uint64(16), rounded)
        exact = wide.astype(f"f{kind.bits // 8}")
    return exact.view(f"u{exact.dtype.itemsize}").astype(np.uint64)


def numbers_of(kind: InputType, patterns: Bits) -> Floats:
    """Return bit patterns as numbers of the working width, exactly."""
    if kind.name == "bf16":
        return (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)
    narrow = patterns.astype(f"u{kind.bits // 8}").view(f"f{kind.bits // 8}")
    with np.errstate(invalid="ignore"):  # signalling NaN
        return np.asarray(narrow).astype(kind.real)


def stepped(kind: InputType, patterns: Bits, steps: int) -> Bits:
    """Return the patterns some units in the last place further from zero (nearer, if negative), finite ones only."""
    sign = patterns & np.uint64(kind.format.sign_bit)
    magnitude = (patterns ^ sign).astype(np.int64)
    moved = np.clip(magnitude + steps, 0, kind.format.max_code)
    finite = magnitude <= kind.format.max_code
    return np.where(finite, moved, magnitude).astype(np.uint64) | sign
