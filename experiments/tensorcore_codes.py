"""Operands of matrix instructions as they lie in memory: patterns, their numbers, and words of 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.number.exact import decode
from fpsim.tensorcore.operands import element_format

Bits = NDArray[Any]
Float32 = NDArray[np.float32]

#: Bytes of an operand; every instruction here takes rows of 32 bytes.
BYTES = {"fp16": 2, "bf16": 2, "tf32": 4, "e4m3": 1, "e5m2": 1, "int8": 1}
ROW_BYTES = 32
#: Low bits of a 32-bit pattern that tf32 does not have.
TF32_REST = 13


def storage(name: str) -> np.dtype[Any]:
    """The unsigned type of a pattern."""
    return np.dtype(f"u{BYTES[name]}")


def length(name: str) -> int:
    """K of one instruction."""
    return ROW_BYTES // BYTES[name]


def from_codes(codes: NDArray[Any], name: str) -> Bits:
    """Return patterns in memory of a format's codes; tf32 fills the low bits of a float32 with zeros."""
    shifted = codes.astype(np.uint32) << TF32_REST if name == "tf32" else codes
    return shifted.astype(storage(name))


def values(bits: Bits, name: str) -> Float32:
    """Return the numbers of patterns, as float32; low bits that tf32 does not have are cut."""
    if name in ("tf32", "fp32"):
        rest = (1 << TF32_REST) - 1 if name == "tf32" else 0
        return (bits.astype(np.uint32) & np.uint32(~rest & 0xFFFFFFFF)).view(np.float32)
    if name == "bf16":
        return (bits.astype(np.uint32) << 16).view(np.float32)
    if name == "fp16":
        return bits.astype(np.uint16).view(np.float16).astype(np.float32)
    if name == "int8":
        return bits.astype(np.uint8).view(np.int8).astype(np.float32)
    fmt = element_format(name)
    table = np.array([float(decode(fmt, code)) for code in range(256)], np.float32)
    return table[bits]


def patterns(numbers: Any, name: str) -> Bits:
    """Return the patterns of numbers that a type holds (also ``fp32``, and ``int32`` as uint32)."""
    if name == "int32":
        return np.asarray(numbers, np.int32).view(np.uint32)
    x = np.asarray(numbers, np.float32)
    if name == "int8":
        return x.astype(np.int8).view(np.uint8)
    with np.errstate(over="ignore"):
        if name == "fp16":
            return x.astype(np.float16).view(np.uint16)
    word = np.ascontiguousarray(x).view(np.uint32)
    if name in ("fp32", "tf32"):
        return word
    if name == "bf16":
        return (word >> 16).astype(np.uint16)
    known = values(np.arange(256, dtype=np.uint8), name).view(np.uint32)
    nan = np.isnan(values(np.arange(256, dtype=np.uint8), name))
    order = np.argsort(known, kind="stable")
    found = order[np.searchsorted(known[order], word).clip(max=255)]
    return np.asarray(np.where(np.isnan(x), np.flatnonzero(nan)[:1].sum(), found)).astype(np.uint8)


def words(bits: Bits) -> NDArray[np.uint32]:
    """Return patterns along the last axis as little-endian words, what registers hold."""
    return np.ascontiguousarray(bits).view(np.uint32)


def result_bits(numbers: NDArray[Any], accumulator: str) -> NDArray[np.uint32]:
    """Return results of the package as uint32: patterns of fp32, of fp16 (in the low half), or int32."""
    if accumulator == "int32":
        return numbers.astype(np.int32).view(np.uint32)
    return patterns(numbers, accumulator).astype(np.uint32)
