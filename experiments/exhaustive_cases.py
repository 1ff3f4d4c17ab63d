"""The rows of the exhaustive check: format, policies and oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from exhaustive_oracle import Oracle, cast, self_check, staircase

import fpsim
from fpsim.number import ElementFormat
from fpsim.number.conversion import Conversion, Rounding
from fpsim.number.presets import preset

#: Formats of other libraries: to nearest even, with the overflow and the NaN that they have.
CASTS: dict[str, Any] = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e4m3-ieee": ml_dtypes.float8_e4m3,
    "e3m4-ieee": ml_dtypes.float8_e3m4,
    "e4m3-fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2-fnuz": ml_dtypes.float8_e5m2fnuz,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "bfloat16": ml_dtypes.bfloat16,
    "binary16": np.float16,
}
#: Held to the specification: to nearest even, saturating.
SATURATING = (
    *("e4m3-ieee", "e5m2-fnuz", "e2m1", "e3m2", "e3m4", "e3m4@6.37", "e3m0", "e2m1@2.7", "e4m3 no subnormals"),
    *("chen-e2m1", "chen-e4m3", "binary8p3se", "e8m0", "int4", "int8", "int8-full", "uint8", "nf4"),
)
#: To nearest even, overflowing.
OVERFLOWING = ("binary8p3se", "binary8p4sf", "e4m3 no subnormals")
#: In every deterministic mode, saturating and overflowing.
EVERY_WAY = ("e4m3", "e5m2", "e4m3-fnuz", "e4m3@6.37")
#: In every deterministic mode; formats without Inf and NaN.
EVERY_MODE = ("e2m1", "int8", "nf4")
MODES = tuple(mode for mode in Rounding if mode is not Rounding.STOCHASTIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row: all float32 numbers through a format.

    Args:
        format: its name here: ``NAME``, ``NAME@BIAS`` or ``NAME no subnormals``.
        how: the policies.
        library: whose cast is the oracle, or None for the specification.
    """

    format: str
    how: Conversion
    library: str | None = None

    @property
    def fmt(self) -> ElementFormat:
        name, _, bias = self.format.partition("@")
        base, flat, _ = name.partition(" no subnormals")
        return fpsim.format(base, bias=float(bias) if bias else None, subnormals=False if flat else None)

    @property
    def policies(self) -> dict[str, str]:
        """The arguments of ``fpsim.quantize``."""
        if self.library == "ml_dtypes":
            return {"preset": self.library}
        return {"rounding": str(self.how.rounding), "overflow": str(self.how.overflow)}

    def oracle(self) -> Oracle:
        """What the results are held to."""
        if self.library is not None:
            return cast(self.library, CASTS[self.format], self.fmt.bits, self.how)
        found = staircase(self.fmt, self.how)
        self_check(found, self.fmt, self.how)
        return found


def cases() -> list[Case]:
    """All rows, each once."""
    rows = [_cast_case(name) for name in CASTS]
    rows += [Case(format=name, how=Conversion()) for name in SATURATING]
    rows += [Case(format=name, how=Conversion(overflow="special")) for name in OVERFLOWING]
    for names, overflows in ((EVERY_WAY, ("saturate", "special")), (EVERY_MODE, ("saturate",))):
        rows += [
            Case(format=name, how=Conversion(rounding=mode, overflow=overflow))
            for name in names
            for overflow in overflows
            for mode in MODES
        ]
    return list(dict.fromkeys(rows))


def _cast_case(name: str) -> Case:
    if name == "binary16":
        return Case(format=name, how=Conversion(overflow="special"), library="numpy")
    return Case(format=name, how=preset("ml_dtypes", fpsim.format(name)).conversion, library="ml_dtypes")
