"""fpsim itself: all formats with a ready and with a fresh array, the other rounding modes, codes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

import fpsim
from peers.case import BITS, DECODE, ENCODE, EVEN, FORMATS, ROUND, Case, shared_out, to_numpy, version

NAME = version("fpsim")
MODES = ("ties-to-away", "toward-zero", "toward-positive", "toward-negative", "to-odd", "stochastic")
#: Most times a copy of the same bytes, with a ready array.
GOALS = {"mxfp4": 1.5, "nvfp4": 2.0}
EVEN_GOAL, MODE_GOAL, CODE_GOAL = 1.25, 2.0, 1.25
#: On a device a copy's share of the time must be at least this.
DEVICE_SHARE = 0.85


def policies(rounding: str) -> dict[str, Any]:
    """Keywords of :func:`fpsim.quantize` for a rounding mode."""
    if rounding == EVEN:
        return {}
    return {"rounding": rounding} | ({"seed": 1} if rounding == "stochastic" else {})


def ready(x: Any, fmt: str, rounding: str = EVEN) -> Callable[[], Any]:
    f, out, words = fpsim.format(fmt), shared_out(x), policies(rounding)
    return lambda: fpsim.quantize(x, f, out=out, **words)


def fresh(x: Any, fmt: str) -> Callable[[], Any]:
    f = fpsim.format(fmt)
    return lambda: fpsim.quantize(x, f)


def encode(x: np.ndarray, fmt: str, out: bool) -> Callable[[], Any]:
    f = fpsim.format(fmt)
    if not out:
        return lambda: fpsim.encode(x, f)
    codes = np.zeros(x.shape, np.uint8)
    return lambda: fpsim.encode(x, f, out=codes)


def decode(x: np.ndarray, fmt: str, out: bool) -> Callable[[], Any]:
    encoded, values = fpsim.encode(x, fmt), shared_out(x)
    return (lambda: fpsim.decode(encoded, out=values)) if out else (lambda: fpsim.decode(encoded))


def values(result: Any) -> np.ndarray:
    """What codes stand for, which must be what :func:`fpsim.quantize` returns."""
    return to_numpy(fpsim.decode(result))


@cache
def ready_case(fmt: str, kind: str) -> Case:
    """With a ready array: what the peers' times are divided by."""
    common: dict[str, Any] = {"peer": NAME, "fmt": fmt, "kind": kind, "out": True}
    if kind == ENCODE:
        make, call = (lambda x: encode(x, fmt, True)), "encode(x, f, out=c)"
        return Case(call=call, make=make, read=values, goal=CODE_GOAL, **common)
    if kind == DECODE:
        return Case(call="decode(c, out=y)", make=lambda x: decode(x, fmt, True), goal=CODE_GOAL, **common)
    return Case(call="quantize(x, f, out=y)", make=lambda x: ready(x, fmt), goal=GOALS.get(fmt, EVEN_GOAL), **common)


def mode_case(fmt: str, rounding: str) -> Case:
    return Case(
        peer=NAME,
        call=f"quantize, {rounding}",
        fmt=fmt,
        make=lambda x: ready(x, fmt, rounding),
        out=True,
        rounding=rounding,
        goal=MODE_GOAL,
    )


def cases() -> list[Case]:
    """All rows of fpsim on the CPU."""
    found = [ready_case(fmt, kind) for kind in (ROUND, ENCODE, DECODE) for fmt in FORMATS]
    for fmt in FORMATS:
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt}
        found += [
            Case(call="quantize(x, f)", make=lambda x, f=fmt: fresh(x, f), **common),
            Case(call="encode(x, f)", make=lambda x, f=fmt: encode(x, f, False), kind=ENCODE, read=values, **common),
            Case(call="decode(c)", make=lambda x, f=fmt: decode(x, f, False), kind=DECODE, **common),
        ]
    return found + [mode_case(fmt, rounding) for rounding in MODES for fmt in BITS]


def device_cases() -> list[Case]:
    """Rows of fpsim on tensors of a device."""
    common: dict[str, Any] = {"peer": NAME, "call": "quantize(x, f, out=y)", "out": True, "tensors": True}
    goal = 1 / DEVICE_SHARE
    return [Case(fmt=fmt, make=lambda x, f=fmt: ready(x, f), goal=goal, **common) for fmt in FORMATS]
