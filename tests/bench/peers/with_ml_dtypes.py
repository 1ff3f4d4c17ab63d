"""ml_dtypes: casts of NumPy arrays, one thread; overflow becomes NaN, Inf or, in FP4, the largest value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np

from peers.case import DECODE, ENCODE, Case, shared_out, to_numpy, version

TYPES = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e3m4": ml_dtypes.float8_e3m4,
}
NAME = version("ml_dtypes")


def codes(result: np.ndarray) -> np.ndarray:
    return to_numpy(result.view(np.uint8))


def twice(x: np.ndarray, kind: type) -> Callable[[], np.ndarray]:
    narrow, out = np.empty(x.shape, kind), shared_out(x)

    def call() -> np.ndarray:
        np.copyto(narrow, x, casting="unsafe")
        np.copyto(out, narrow)
        return out

    return call


def one(source: np.ndarray, out: np.ndarray) -> Callable[[], np.ndarray]:
    def call() -> np.ndarray:
        np.copyto(out, source, casting="unsafe")
        return out

    return call


def cases() -> list[Case]:
    found = []
    for fmt, kind in TYPES.items():
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt}
        found += [
            Case(call="x.astype(f).astype(f32)", make=lambda x, k=kind: lambda: x.astype(k).astype(x.dtype), **common),
            Case(call="copyto(c, x); copyto(out, c)", make=lambda x, k=kind: twice(x, k), out=True, **common),
            Case(
                call="copyto(c, x)",
                make=lambda x, k=kind: one(x, np.empty(x.shape, k)),
                out=True,
                kind=ENCODE,
                read=codes,
                **common,
            ),
            Case(
                call="copyto(out, c)",
                make=lambda x, k=kind: one(x.astype(k), shared_out(x)),
                out=True,
                kind=DECODE,
                **common,
            ),
        ]
    return found
