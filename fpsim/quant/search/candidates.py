"""What the search chooses from: encodings, and largest values with the biases that follow from them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.quant.scales import CANDIDATES
from fpsim.quant.search.errors import levels
from fpsim.quant.search.magnitudes import Floats

#: The encodings of the paper by their width (Chen et al. 2024, IV-B), the fewest exponent bits first.
PAPER = {8: ("e2m5", "e3m4", "e4m3", "e5m2"), 4: ("e1m2", "e2m1")}
_NAME = re.compile(r"(?:chen-)?e([1-8])m(0|[1-9]\d?)(?:-none)?", re.IGNORECASE)
_BITS = range(2, 17)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a signed all-finite float divides its bits between exponent and mantissa; the bias is still open."""

    exponent_bits: int
    mantissa_bits: int

    @property
    def name(self) -> str:
        """Such as ``e4m3``."""
        return f"e{self.exponent_bits}m{self.mantissa_bits}"

    @property
    def bits(self) -> int:
        """Width of a code."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def default(self) -> FloatFormat:
        """The format with the paper's default bias, 2^(e−1)."""
        return self.format(2 ** (self.exponent_bits - 1), f"chen-{self.name}")

    def format(self, bias: float, name: str | None = None) -> FloatFormat:
        """The all-finite format with a bias."""
        return FloatFormat(
            name=name or f"{self.name} bias={bias:.6g}",
            exponent_bits=self.exponent_bits,
            mantissa_bits=self.mantissa_bits,
            bias=float(bias),
            source="Chen et al. 2024, Algorithm 1" if name is None else "Chen et al. 2024, equation 5",
        )

    def grid(self) -> Floats:
        """The levels at bias 0, read-only; those of bias b are 2^−b times as large."""
        return _grid(self)

    def bias(self, maximum: Floats) -> Floats:
        """Equation 7 solved for the bias: b = 2^e − log2(c) + log2(2 − 2^−m) − 1."""
        top = 2.0**self.exponent_bits + np.log2(2 - 2.0**-self.mantissa_bits) - 1
        found: Floats = top - np.log2(maximum)
        return found


@lru_cache(maxsize=64)
def _grid(encoding: Encoding) -> Floats:
    found = levels(encoding.format(0, encoding.name))
    found.setflags(write=False)
    return found


def encodings_of(bits: int, given: Iterable[str] | None = None) -> tuple[Encoding, ...]:
    """Return the candidate encodings, in the order in which equal errors are decided.

    Args:
        bits: width of a code; 8 and 4 have the paper's encodings, other widths every eXmY of that width.
        given: names such as ``e4m3`` instead, of any width; all of them mean the all-finite encoding.

    Raises:
        FpsimError: a width outside 2 to 16, no name, or one that is no encoding or given twice.

    >>> [e.name for e in encodings_of(6)]
    ['e1m4', 'e2m3', 'e3m2', 'e4m1', 'e5m0']
    """
    if given is not None:
        return _named(given)
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in _BITS:
        raise FpsimError(f"a search over {bits!r} bits is not possible; give {_BITS.start} to {_BITS.stop - 1}")
    if bits in PAPER:
        return _named(PAPER[bits])
    return tuple(Encoding(exponent_bits=e, mantissa_bits=bits - 1 - e) for e in range(1, min(8, bits - 1) + 1))


def _named(given: Iterable[str]) -> tuple[Encoding, ...]:
    names = [given] if isinstance(given, str) else list(given)
    found = []
    for name in names:
        match = _NAME.fullmatch(name.strip()) if isinstance(name, str) else None
        if match is None or int(match[1]) + int(match[2]) > 15:
            raise FpsimError(
                f"encoding {name!r} is no all-finite eXmY with 1 <= X <= 8 and X + Y <= 15; give such as e4m3"
            )
        found.append(Encoding(exponent_bits=int(match[1]), mantissa_bits=int(match[2])))
    if not found or len(set(found)) < len(found):
        raise FpsimError(f"encodings {', '.join(map(str, names)) or '(none)'}: give at least one, and none twice")
    return tuple(found)


def fractions_of(given: Sequence[float] | Floats | None = None) -> Floats:
    """Return the candidate largest values as fractions of the largest magnitude.

    Args:
        given: positive finite numbers; default the 111 from 0.1 to 1.2 of Kuzmin et al. 2022, as the paper has them.

    Raises:
        FpsimError: none are given, or one is not positive and finite.
    """
    found = CANDIDATES if given is None else np.array(given, np.float64).reshape(-1)
    if not found.size or not (np.isfinite(found) & (found > 0)).all():
        raise FpsimError("the maxima are fractions of the largest magnitude: give one or more positive numbers")
    return found
