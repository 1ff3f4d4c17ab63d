"""What every float32 number becomes: from the exact specification, or by another library's cast.

The specification's answers are a staircase: float32 numbers of one sign are in the order of their bit patterns and
rounding is monotone, so that between two patterns with the same answer there is no other. It is asked beside every
value and every middle, and wherever two neighbouring answers still differ, by bisection down to neighbouring patterns.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, exact
from fpsim.number.conversion import Conversion, NanPolicy

Patterns = NDArray[np.uint32]
Rule = Callable[[int], int]
SIGN, INF, NAN, END = 0x80000000, 0x7F800000, 0x7FC00000, 1 << 32
#: With a scale, division and product move a boundary by less than this many patterns.
NEAR = 3


class Oracle(Protocol):
    """Knows the result of each float32 bit pattern; every NaN counts as ``NAN``."""

    name: str

    def wrong(self, patterns: Patterns, got: Patterns) -> NDArray[np.intp]:
        """Where the results of ascending patterns are not what they should be."""

    def wanted(self, pattern: int) -> int:
        """The right result of one pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staircase:
    """Runs of patterns with one answer each: ``answers[i]`` from ``starts[i]`` to the next start."""

    name: str
    starts: NDArray[np.int64]
    answers: list[int]

    def wrong(self, patterns: Patterns, got: Patterns) -> NDArray[np.intp]:
        bounds = np.append(np.searchsorted(patterns, self.starts.astype(np.uint32)), len(patterns)).tolist()
        found = []
        for (first, last), answer in zip(pairwise(bounds), self.answers, strict=True):
            if first < last:
                part = got[first:last]
                differs = ~_is_nan(part) if answer == NAN else part != np.uint32(answer)
                if differs.any():
                    found.append(first + np.flatnonzero(differs))
        return np.concatenate(found) if found else np.empty(0, np.intp)

    def wanted(self, pattern: int) -> int:
        return self.answers[bisect_right(self.starts.tolist(), pattern) - 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A library's cast of float32 arrays to a type of its own, whose codes ``results`` decodes."""

    name: str
    kind: Any
    results: Patterns
    nan: int

    def wrong(self, patterns: Patterns, got: Patterns) -> NDArray[np.intp]:
        differs = np.flatnonzero(self._all(patterns) != got)
        if differs.size:
            wanted = self._all(patterns[differs])
            differs = differs[~(_is_nan(wanted) & _is_nan(got[differs]))]
        return differs

    def wanted(self, pattern: int) -> int:
        return int(self._all(np.array([pattern], np.uint32))[0])

    def _all(self, patterns: Patterns) -> Patterns:
        x = patterns.view(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            codes = x.astype(self.kind).view(f"u{np.dtype(self.kind).itemsize}")
        results = self.results[codes]
        if self.nan != NAN:
            results[np.isnan(x)] = self.nan
        return results


def cast(name: str, kind: Any, bits: int, how: Conversion) -> Cast:
    """The oracle of a library's type.

    Where the NaN policy says that NaN becomes −0 it is that here: ml_dtypes turns NaN into a zero of the other sign
    than NaN's own, which no policy says.
    """
    codes = np.arange(1 << bits).astype(f"u{np.dtype(kind).itemsize}")
    values = codes.view(kind).astype(np.float32).view(np.uint32)
    results = np.where(_is_nan(values), np.uint32(NAN), values)
    return Cast(name=name, kind=kind, results=results, nan=SIGN if how.nan is NanPolicy.NEGATIVE_ZERO else NAN)


def staircase(fmt: ElementFormat, how: Conversion) -> Staircase:
    """The oracle of the exact specification."""
    ask = rule(fmt, how)
    near, runs = points(fmt), dict[int, int]()
    for sign in (0, SIGN):
        runs |= dict(_runs(ask, sign, sign | INF, near))
        runs[(sign | INF) + 1] = ask(NAN)
    return Staircase(name="exact", starts=np.array(list(runs), np.int64), answers=list(runs.values()))


def rule(fmt: ElementFormat, how: Conversion) -> Rule:
    """From pattern to pattern: t = x / s and y = s · g are IEEE operations, g is the specification's."""
    s, grid = np.float32(fmt.scale(32)), fmt.grid
    keeps = how.nan is NanPolicy.KEEP or (isinstance(fmt, FloatFormat) and fmt.nan_code is not None)

    @cache
    def value(code: int) -> np.float32:
        return np.float32(float(exact.decode(grid, code)))

    @cache
    def ask(pattern: int) -> int:
        x = np.uint32(pattern).view(np.float32)
        if keeps and np.isnan(x):
            return NAN
        with np.errstate(all="ignore"):
            y = value(exact.encode(grid, float(x / s), how)) * s
        return NAN if np.isnan(y) else int(y.view(np.uint32))

    return ask


def points(fmt: ElementFormat) -> list[int]:
    """Patterns of all values, of all middles between neighbours and, beyond the largest, of what would follow it."""
    grid, s = fmt.grid, Fraction(fmt.scale(32))
    count = len(grid.values) if isinstance(grid, CodebookFormat) else 1 << grid.bits
    values = {v for v in (exact.decode(grid, code) for code in range(count)) if isinstance(v, Fraction)}
    if isinstance(grid, FloatFormat):
        beyond = grid.grid_value(grid.max_code + 1)
        values |= {beyond, -beyond} if grid.signed else {beyond}
    ordered = sorted(values)
    with np.errstate(over="ignore"):
        x = np.array([float(v * s) for v in (*ordered, *((a + b) / 2 for a, b in pairwise(ordered)))], np.float32)
    centres = x.view(np.uint32).astype(np.int64)
    near = {int(c) + step for c in centres for step in range(-NEAR, NEAR + 1)}
    return sorted(p for p in {*near, SIGN} if 0 <= p <= INF or SIGN <= p <= SIGN | INF)


def _runs(ask: Rule, first: int, last: int, near: list[int]) -> Iterator[tuple[int, int]]:
    """The first pattern and the answer of each run from ``first`` to ``last``."""
    asked = sorted({first, last, *(p for p in near if first < p < last)})
    yield first, ask(first)
    for low, high in pairwise(asked):
        yield from _changes(ask, low, high)


def _changes(ask: Rule, low: int, high: int) -> Iterator[tuple[int, int]]:
    """Where the answer changes after ``low``, up to ``high``."""
    if ask(low) == ask(high):
        return
    if high == low + 1:
        yield high, ask(high)
        return
    middle = (low + high) // 2
    yield from _changes(ask, low, middle)
    yield from _changes(ask, middle, high)


def self_check(oracle: Staircase, fmt: ElementFormat, how: Conversion, count: int = 48) -> None:
    """Hold a staircase to ``exact.quantize`` at random patterns, and its slices to a binary search over its starts.

    Raises:
        RuntimeError: they differ.
    """
    rng = np.random.default_rng(0)
    for pattern in rng.integers(0, END, count):
        y = np.float32(exact.quantize(fmt, float(np.uint32(pattern).view(np.float32)), how=how))
        wanted = NAN if np.isnan(y) else int(y.view(np.uint32))
        if oracle.wanted(int(pattern)) != wanted:
            raise RuntimeError(
                f"{fmt.name}: the staircase is wrong at {int(pattern):#010x}; it should be {wanted:#010x}"
            )
    patterns = np.sort(rng.integers(0, END, 1 << 16, np.uint32))
    index = np.searchsorted(oracle.starts, patterns.astype(np.int64), side="right") - 1
    right = np.array(oracle.answers, np.uint32)[index]
    doctored = right ^ np.uint32(1)
    if oracle.wrong(patterns, right).size or oracle.wrong(patterns, doctored).size != np.count_nonzero(right != NAN):
        raise RuntimeError(f"{fmt.name}: the slices of the staircase are not what a binary search finds")


def _is_nan(patterns: Patterns) -> NDArray[np.bool_]:
    return (patterns & np.uint32(0x7FFFFFFF)) > np.uint32(INF)
