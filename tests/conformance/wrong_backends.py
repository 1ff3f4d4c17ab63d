"""Backends that are wrong in one place each, made from the oracle itself, and the calls to try them with."""

from __future__ import annotations

from typing import Any

import numpy as np

import fpsim
from fpsim.conformance.cases import directed
from fpsim.conformance.classify import classify
from fpsim.conformance.inputs import WIDE
from fpsim.conformance.oracle import expected
from fpsim.conformance.trials import Trial
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion, Overflow, Rounding

#: Name of the fault: the numbers of e4m3 that go wrong and what they become; the class that must name them.
FAULTS: dict[str, tuple[float, float, str]] = {
    "one tie": (1.0625, 1.125, "tie"),
    "one subnormal": (2.0**-9 * 1.75, 2.0**-9, "subnormal"),
    "one overflow": (500.0, 416.0, "overflow"),
    "the sign of zero": (-0.0, 0.0, "signed zero"),
    "infinity": (np.inf, np.nan, "inf"),
}


class WrongBackend:
    """Right, but for one number."""

    name, arrays = "wrong", "numpy"
    roundings, overflows = tuple(Rounding), tuple(Overflow)

    def __init__(self, number: float = 0.5, becomes: float = 0.5) -> None:
        self.number, self.becomes = number, becomes

    def quantize(
        self, x: Any, fmt: ElementFormat, scale: Any, out: Any, zero_point: Any = None, how: Conversion = DEFAULT
    ) -> None:
        out[...] = expected(x, fmt, scale, how, zero_point)
        with np.errstate(all="ignore"):
            hit = (x / scale == self.number) & (np.signbit(x) == np.signbit(self.number))
        out[...] = np.where(hit, self.becomes * scale, out)


class FailingBackend(WrongBackend):
    """Raises what no backend should."""

    def quantize(self, *given: Any, **options: Any) -> None:
        raise ZeroDivisionError("no\nluck")


def directed_trial(name: str, width: int, extra: tuple[float, ...] = ()) -> tuple[ElementFormat, Trial]:
    """A format of a name and one call with its directed cases."""
    fmt: Any = fpsim.format(name)
    kind = WIDE[width]
    x = np.concatenate([directed(fmt, kind), np.array(extra, kind.real)])[None]
    return fmt, Trial(x=x, scale=np.ones((1, 1), kind.real), zero_point=None, classes=classify(x, fmt))
