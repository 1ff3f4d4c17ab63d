"""torch's own casts: there are none to FP4 or E3M4."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from peers.case import DECODE, ENCODE, Case, shared_out, to_numpy, version

TYPES = {"e4m3": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}
NAME = version("torch")


_COMPILED: dict[Hashable, Callable[..., Any]] = {}


def compiled(key: Hashable, function: Callable[..., Any]) -> Callable[..., Any]:
    """torch.compile for the very shape at hand, the same compiled function whenever the key is the same.

    Functions with other keys get code objects of their own: torch.compile keeps what it has seen by code object, and
    numbers that differ between formats would become variables, which made pychop three times slower.
    """
    if key not in _COMPILED:
        torch._dynamo.config.fail_on_recompile_limit_hit = True  # rather than quietly going on uncompiled
        code = function.__code__.replace(co_name=f"compiled_{len(_COMPILED)}")
        own = FunctionType(code, function.__globals__, code.co_name, function.__defaults__, function.__closure__)
        _COMPILED[key] = torch.compile(own, dynamic=False)
    return _COMPILED[key]


def codes(result: Tensor) -> np.ndarray:
    return to_numpy(result.view(torch.uint8))


def twice(x: Tensor, kind: torch.dtype) -> Callable[[], Tensor]:
    """There and back through ready buffers."""
    narrow, out = torch.empty_like(x, dtype=kind), shared_out(x)

    def call() -> Tensor:
        narrow.copy_(x)
        return out.copy_(narrow)

    return call


def fused(x: Tensor, kind: torch.dtype) -> Callable[[], Tensor]:
    """Both casts in one compiled loop."""
    run, out = compiled((NAME, kind), lambda v, o: o.copy_(v.to(kind).float())), shared_out(x)
    return lambda: run(x, out)


def encode(x: Tensor, kind: torch.dtype) -> Callable[[], Tensor]:
    narrow = torch.empty_like(x, dtype=kind)
    return lambda: narrow.copy_(x)


def decode(x: Tensor, kind: torch.dtype) -> Callable[[], Tensor]:
    narrow, out = x.to(kind), shared_out(x)
    return lambda: out.copy_(narrow)


def cases() -> list[Case]:
    found = []
    for fmt, kind in TYPES.items():
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt, "tensors": True}
        found += [
            Case(call="x.to(f).float()", make=lambda x, k=kind: lambda: x.to(k).float(), **common),
            Case(call="c.copy_(x); out.copy_(c)", make=lambda x, k=kind: twice(x, k), out=True, **common),
            Case(call="compiled casts", make=lambda x, k=kind: fused(x, k), out=True, compiled=True, **common),
            Case(call="c.copy_(x)", make=lambda x, k=kind: encode(x, k), out=True, kind=ENCODE, read=codes, **common),
            Case(call="out.copy_(c)", make=lambda x, k=kind: decode(x, k), out=True, kind=DECODE, **common),
        ]
    return found
