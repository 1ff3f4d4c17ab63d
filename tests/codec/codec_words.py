"""Cases of stochastic rounding: a number, its two neighbours, and what the specification makes of every random word."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fpsim
from fpsim.number import ElementFormat, counter, exact
from fpsim.number.conversion import Conversion

#: Random bits of which every word is tried.
BITS = range(1, 11)
#: Elements a word, on average: so many that all words occur.
TIMES = 16
SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A number between two neighbours; ``far`` is NaN or Inf where the format overflows beyond its largest value.

    Args:
        name: what it is an example of.
        format: ``NAME`` or ``NAME@BIAS``.
        x: the number, which float32 holds.
        near: the neighbour nearer to zero, on the format's grid.
        far: the other.
        distance: of the float32 quotient of ``x`` and the format's scale from ``near``, in units of the gap.
        overflow: the policy.
    """

    name: str
    format: str
    x: float
    near: float
    far: float
    distance: Fraction
    overflow: str = "saturate"

    @property
    def fmt(self) -> ElementFormat:
        base, _, bias = self.format.partition("@")
        return fpsim.format(base, bias=float(bias) if bias else None)

    @property
    def t(self) -> float:
        """The float32 quotient, which is ``x`` where the format has no scale."""
        return _quotient(self.fmt, self.x)

    def conversion(self, bits: int) -> Conversion:
        return Conversion(rounding="stochastic", overflow=self.overflow, random_bits=bits, seed=SEED)


def _quotient(fmt: ElementFormat, x: float) -> float:
    return float(np.float32(x) / np.float32(fmt.scale(32)))


def _case(name: str, fmt: str, x: float, near: float, far: float, **more: Any) -> Case:
    """A case between two values, or with ``becomes`` between the largest one and what would follow it."""
    becomes = more.pop("becomes", far)
    case = Case(name=name, format=fmt, x=x, near=near, far=becomes, distance=Fraction(0), **more)
    return replace(case, distance=(Fraction(case.t) - Fraction(near)) / (Fraction(far) - Fraction(near)))


_NF4 = fpsim.format("nf4").values

CASES = (
    _case("normal", "e4m3", 1 + 0.3125 / 8, 1.0, 1.125),
    _case("many digits", "e4m3", float(np.float32(17.3)), 16.0, 18.0),
    _case("close to the upper one", "e4m3", float(np.float32(1.1249999)), 1.0, 1.125),
    _case("close to the lower one", "e4m3", float(np.float32(1.0000001)), 1.0, 1.125),
    _case("negative", "e4m3", -3.7890625, -3.75, -4.0),
    _case("subnormal", "e4m3", 2.7421875 * 2.0**-9, 2 * 2.0**-9, 3 * 2.0**-9),
    _case("negative, below the least subnormal", "e4m3", -0.40625 * 2.0**-9, 0.0, -(2.0**-9)),
    _case("last step", "e4m3", 431.0, 416.0, 448.0),
    _case("last step under special", "e4m3", 431.0, 416.0, 448.0, overflow="special"),
    _case("beyond the largest", "e4m3", 460.5, 448.0, 480.0, becomes=np.nan, overflow="special"),
    _case("beyond the lowest", "e5m2", -60000.0, -57344.0, -65536.0, becomes=-np.inf, overflow="special"),
    _case("subnormal", "e5m2", 1.40625 * 2.0**-16, 2.0**-16, 2.0**-15),
    _case("no mantissa bits", "e3m0", 1.28125, 1.0, 2.0),
    _case("integer", "int8", 100.59375, 100.0, 101.0),
    _case("negative integer", "int8", -3.171875, -3.0, -4.0),
    _case("codebook", "nf4", 0.5, _NF4[12], _NF4[13]),
    _case("falling codebook", "nf4", -0.625, _NF4[2], _NF4[1]),
    _case("real bias", "e3m4@6.37", 0.0704, 0.08984375, 0.09375),
    _case("searched, a distance in eighths", "e8m0", 1.375, 1.0, 2.0),
)


@cache
def all_words(bits: int, count: int) -> NDArray[np.int64]:
    """The specification's random words of the first elements."""
    return np.array([counter.word(SEED, i, bits) for i in range(count)])


@cache
def answers(case: Case, bits: int) -> NDArray[np.float64]:
    """The specification's value for each random word."""
    how, grid = case.conversion(bits), case.fmt.grid
    codes = [exact.encode(grid, case.t, how, word=word) for word in range(1 << bits)]
    return np.array([float(exact.decode(grid, code, width=64)) for code in codes])


def ids(case: Case) -> str:
    return f"{case.format}-{case.name}-{case.overflow}".replace(" ", "_")
