"""Directed vectors of infinities, NaN, overflow, zeros and subnormal numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from fpsim.number.exact import BINARY16, BINARY32
from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.drafts import Case, Draft
from fpsim.tensorcore.operands import element_format


def special_cases(unit: Unit, types: tuple[str, str], accumulator: str) -> Iterator[Case]:
    """Yield the cases; operand types without Inf or NaN have fewer."""
    blank = Draft(unit=unit, types=types).case("zero")
    yield from _zeros(blank)
    yield from _not_finite(blank, types)
    yield from _extremes(blank, types, accumulator)


def _with(case: Case, kind: str, pairs: list[tuple[float, float]], c: float = 0.0) -> Case:
    """Products from the front, except the last one, which is at the back."""
    a, b = list(case.a), list(case.b)
    for i, (x, y) in enumerate(pairs):
        place = len(a) - 1 if i == len(pairs) - 1 and i else i
        a[place], b[place] = x, y
    return replace(case, kind=kind, a=tuple(a), b=tuple(b), c=c)


def _zeros(blank: Case) -> Iterator[Case]:
    for pairs in ([], [(1.0, -0.0)], [(-0.0, -0.0), (-1.0, 0.0)], [(1.0, 1.0), (1.0, -1.0)]):
        for c in (0.0, -0.0, 1.0):
            yield _with(blank, "zero", pairs, c)


def _not_finite(blank: Case, types: tuple[str, str]) -> Iterator[Case]:
    fmts = [element_format(name) for name in types]
    inf, nan = math.inf, math.nan
    for c in (inf, -inf, nan):
        yield _with(blank, "not finite", [(1.0, 1.0), (1.0, -1.5)], c)
    if fmts[0].nan_code is not None:
        yield _with(blank, "not finite", [(nan, 1.0)])
        yield _with(blank, "not finite", [(1.0, 1.0), (nan, 0.0)], inf)
    if fmts[1].nan_code is not None:
        yield _with(blank, "not finite", [(0.0, nan)], 1.0)
    if fmts[0].inf_code is not None:
        for pairs in ([(inf, 1.0)], [(-inf, 1.0)], [(inf, 0.0)], [(1.0, 1.0), (inf, -1.5)], [(inf, 1.0), (inf, -1.0)]):
            for c in (1.0, inf, -inf):
                yield _with(blank, "not finite", pairs, c)
    if fmts[1].inf_code is not None:
        yield _with(blank, "not finite", [(1.5, -inf)])
        yield _with(blank, "not finite", [(0.0, inf), (1.0, 1.0)])
    if blank.scale_a:
        yield replace(_with(blank, "not finite", [(1.0, 1.0)]), scale_a=(nan, *blank.scale_a[1:]))


def _extremes(blank: Case, types: tuple[str, str], accumulator: str) -> Iterator[Case]:
    large = [float(element_format(name).max) for name in types]
    small = [float(element_format(name).min_subnormal or 0) for name in types]
    result = BINARY16 if accumulator == "fp16" else BINARY32
    most, least = float(result.max), float(result.min_subnormal or 0)
    half = most / 2 ** (result.mantissa_bits + 2)
    every = [(large[0], large[1])] * len(blank.a)
    for c in (0.0, most, -most):
        yield _with(blank, "largest products", every, c)
        yield _with(blank, "overflow", [(large[0], large[1])], c)
        yield _with(blank, "overflow", [(1.0, 1.0), (1.0, 1.0)], c)
        yield _with(blank, "overflow", [(large[0], large[1]), (large[0], -large[1])], c)
    normal = [float(element_format(name).min_normal) for name in types]
    for c in (0.0, least, -least, 3 * least, float(result.min_normal), half):
        yield _with(blank, "subnormal", [(small[0], small[1])], c)
        yield _with(blank, "subnormal", [(small[0], -small[1]), (normal[0], small[1])], c)
        yield _with(blank, "subnormal", [(small[0], large[1]), (-small[0], small[1])], c)
        yield _with(blank, "subnormal", [(small[0], -1.0), (1.0, small[1])], c)
        yield _with(blank, "subnormal", [(small[0] * 1, 1.0), (-small[0], 1.0)], c)
        yield _with(blank, "subnormal", [(-small[0], small[1])] * len(blank.a), c)
