"""apytypes: arrays of its own, one thread; its formats are the IEEE-like ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from apytypes import APyFloatArray

from peers.case import BITS, DECODE, ENCODE, Case, to_numpy, version

NAME = version("apytypes")


def array(x: np.ndarray, bits: tuple[int, int]) -> APyFloatArray:
    return APyFloatArray.from_array(x, *bits)


def decode(x: np.ndarray, bits: tuple[int, int]) -> Callable[[], np.ndarray]:
    codes = array(x, bits).to_bits(numpy=True)
    return lambda: APyFloatArray.from_bits(codes, *bits).to_numpy()


def values(result: np.ndarray) -> np.ndarray:
    return to_numpy(result).astype(np.float32)


def cases() -> list[Case]:
    found = []
    for fmt, bits in BITS.items():
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt}
        found += [
            Case(
                call="from_array, to_numpy",
                make=lambda x, b=bits: lambda: array(x, b).to_numpy(),
                read=values,
                **common,
            ),
            Case(
                call="from_array, to_bits",
                make=lambda x, b=bits: lambda: array(x, b).to_bits(numpy=True),
                kind=ENCODE,
                **common,
            ),
            Case(call="from_bits, to_numpy", make=lambda x, b=bits: decode(x, b), kind=DECODE, read=values, **common),
        ]
    return found
