"""pychop: ``Chop`` on NumPy and torch; its formats are the IEEE-like ones. MX goes by a scalar loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pychop import Chop, mx_quantize

from peers.case import BITS, Case, version
from peers.with_torch import compiled

NAME = version("pychop")


def fused(x: Any, bits: tuple[int, int]) -> Callable[[], Any]:
    chop = Chop(*bits)
    chop(x[:1])  # chooses its backend, which would otherwise be part of the compiled function
    run = compiled((NAME, bits), lambda v: chop(v))
    return lambda: run(x)


def plain(x: Any, bits: tuple[int, int]) -> Callable[[], Any]:
    chop = Chop(*bits)
    return lambda: chop(x)


def cases() -> list[Case]:
    found = [Case(peer=NAME, call="mx_quantize", fmt="mxfp4", make=lambda x: lambda: mx_quantize(x, "mxfp4_e2m1"))]
    for fmt, bits in BITS.items():
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt}
        found += [
            Case(call="Chop, NumPy", make=lambda x, b=bits: plain(x, b), **common),
            Case(call="Chop, compiled", make=lambda x, b=bits: fused(x, b), tensors=True, compiled=True, **common),
        ]
    return found
