"""Directed vectors: the cases in which wrong models of a matrix unit give themselves away."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.directed_specials import special_cases
from fpsim.tensorcore.drafts import Case, Draft, terms_range

#: The least and the largest exponent of an accumulator that is a normal number.
_NORMAL = {"fp32": (-126, 127), "fp16": (-14, 15)}


def directed(unit: Unit, types: tuple[str, str], accumulator: str) -> list[Case]:
    """Return the directed cases of a unit, without duplicates.

    Args:
        unit: the matrix unit.
        types: names of the types of a and b.
        accumulator: ``fp32`` or ``fp16``.
    """
    families = (
        special_cases(unit, types, accumulator),
        _cancelled(unit, types),
        _cancelled_by_c(unit, types, accumulator),
        _late_c(unit, types, accumulator),
        _under_c(unit, types, accumulator),
        _rounded(unit, types, accumulator),
        _groups(unit, types),
    )
    cases: dict[str, Case] = {}
    for case in itertools.chain(*families):
        cases.setdefault(repr((case.a, case.b, case.c, case.scale_a, case.scale_b)), case)
    return list(cases.values())


def _tops(unit: Unit, types: tuple[str, str]) -> list[int]:
    """Exponents for a large term: the largest, and one in the middle."""
    low, high = terms_range(unit, types)
    return sorted({min(high, 100), min((low + high) // 2 + unit.fraction_bits // 2, high)}, reverse=True)


def _small(draft: Draft, slots: range, exponent: int, sign: int) -> None:
    """Small terms, 1.5² in the middle one."""
    for slot in slots:
        draft.term(slot, exponent, sign, 1.5 if slot % 3 == 1 else 1.0)


def _cancelled(unit: Unit, types: tuple[str, str]) -> Iterator[Case]:
    """Two large products cancel; what alignment left of small ones is the result."""
    last = Draft(unit=unit, types=types).grouped - 1
    steps = range(-unit.fraction_bits - 3, 2 - unit.fraction_bits)
    for top, by, sign, full in itertools.product(_tops(unit, types), steps, (1, -1), (1.0, 1.5)):
        for count in {1, min(3, last - 1)} - {0}:
            draft = Draft(unit=unit, types=types)
            draft.term(0, top, 1, full)
            draft.term(last, top, -1, full)
            _small(draft, range(1, 1 + count), top + by, sign)
            if draft.possible:
                yield draft.case("unnormalized product" if full > 1 else "cancellation")


def _cancelled_by_c(unit: Unit, types: tuple[str, str], accumulator: str) -> Iterator[Case]:
    """A large product and the accumulator cancel, for types whose products do not reach low enough alone."""
    least, most = _NORMAL[accumulator]
    low, high = terms_range(unit, types)
    slots = Draft(unit=unit, types=types).grouped
    for top, by, sign in itertools.product(_tops(unit, types), range(-unit.fraction_bits - 2, 2), (1, -1)):
        if not least <= top <= most or not low <= top + by <= high:
            continue
        draft = Draft(unit=unit, types=types)
        draft.c = -(2.0**top)
        draft.term(slots - 1, top)
        _small(draft, range(slots - 1), top + by, sign)
        if draft.possible:
            yield draft.case("cancellation by c")


def _late_c(unit: Unit, types: tuple[str, str], accumulator: str) -> Iterator[Case]:
    """Products cancel, and the accumulator keeps what their alignment left of it."""
    last = Draft(unit=unit, types=types).grouped - 1
    least, most = _NORMAL[accumulator]
    places = 10 if accumulator == "fp16" else 23
    tops = _tops(unit, types)
    sizes = [(top, 1.0) for top in tops] + [(tops[0], 1.5)]
    for (top, full), by, sign in itertools.product(sizes, range(-unit.fraction_bits - 2, 3), (1, -1)):
        exponent = min(max(top + by, least), most)
        for odd in (2.0**-places, 1 - 2.0**-places):
            draft = Draft(unit=unit, types=types)
            draft.term(0, top, 1, full)
            draft.term(last, top, -1, full)
            draft.c = sign * math.ldexp(1 + odd, exponent)
            if draft.possible:
                yield draft.case("late c")


def _under_c(unit: Unit, types: tuple[str, str], accumulator: str) -> Iterator[Case]:
    """The accumulator is the largest term; each product loses bits, whatever they would be together."""
    slots = len(Draft(unit=unit, types=types).slots)
    low, high = terms_range(unit, types)
    least, most = _NORMAL[accumulator]
    for by, sign, c in itertools.product(range(-unit.fraction_bits - 3, -8), (1, -1), (1.0, -1.0, 1.75)):
        exponent = min(max(low - by + 2, 0), most)
        if not least <= exponent or not low <= exponent + by <= high:
            continue
        for count in {1, 2, slots}:
            draft = Draft(unit=unit, types=types)
            draft.c = c * 2.0**exponent
            _small(draft, range(count), exponent + by, sign)
            if draft.possible:
                yield draft.case("products under c")


def _rounded(unit: Unit, types: tuple[str, str], accumulator: str) -> Iterator[Case]:
    """Sums with more bits than the result: ties, their neighbours, and carries."""
    kept = 10 if accumulator == "fp16" else unit.result_bits
    slots = len(Draft(unit=unit, types=types).slots)
    low, high = terms_range(unit, types)
    least, most = _NORMAL[accumulator]
    for by, odd, sticky, sign in itertools.product((-2, -1, 0, 1), (0, 1), (0, 1, -1), (1, -1)):
        top = min(high - 1, max(low + kept + 3, 0), most - 2)
        if not least <= top:
            continue
        draft = Draft(unit=unit, types=types)
        draft.c = sign * 2.0**top * (1 + odd * 2.0**-kept)
        draft.term(0, top + by - kept, sign) if slots > 1 else None
        if sticky:
            draft.term(slots - 1, max(top - unit.fraction_bits + 1, low), sign * sticky)
        if draft.possible:
            yield draft.case("rounding")
    yield from _carried(unit, types, kept)


def _carried(unit: Unit, types: tuple[str, str], kept: int) -> Iterator[Case]:
    """Sums above the largest term's binade, whose last places fall off."""
    slots = Draft(unit=unit, types=types).grouped
    steps = itertools.product(_tops(unit, types), range(-2, 4), (0, 1), (1, -1), (2, 3))
    for top, by, apart, sign, large in steps:
        if slots < large + 1:
            continue
        draft = Draft(unit=unit, types=types)
        for slot in range(large):
            draft.term(slot, top, sign, 1.5 if slot == 2 else 1.0)
        for slot in range(large, min(slots, large + 2)):
            draft.term(slot, top + by - kept - apart * (slot - large), sign)
        if draft.possible:
            yield draft.case("carry")


def _groups(unit: Unit, types: tuple[str, str]) -> Iterator[Case]:
    """Large terms cancel across each boundary that a wrong group size would draw; a small one tells where it is."""
    slots = len(Draft(unit=unit, types=types).slots)
    steps = range(-unit.fraction_bits - 1, 3 - unit.fraction_bits)
    halves = [size for size in (1, 2, 4, 8, 16) if 2 * size <= slots]
    for top, by, size, sign, twice in itertools.product(_tops(unit, types), steps, halves, (1, -1), (1, 2)):
        for slot in {twice, size - 1, size} & set(range(twice, 2 * size - twice)):
            draft = Draft(unit=unit, types=types)
            draft.term(slot, top + by, sign)
            for i in range(twice):
                draft.term(i, top)
                draft.term(2 * size - 1 - i, top, -1)
            if draft.possible:
                yield draft.case("group boundary")
