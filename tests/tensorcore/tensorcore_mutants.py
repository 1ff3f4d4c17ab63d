"""Wrong models of matrix units: the specification with one rule replaced, which directed vectors must tell from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

from fpsim.number.exact import BINARY16, BINARY32
from fpsim.tensorcore import reference, reference_scaled
from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.reference import Term

Change = Callable[[Unit], Unit]


def _shifted(term: Term, top: int, fraction_bits: int) -> Fraction:
    return term.significand * Fraction(2) ** (term.exponent - term.places - top + fraction_bits)


def aligned_to_nearest(term: Term, top: int, fraction_bits: int) -> int:
    return round(_shifted(term, top, fraction_bits))


def aligned_downwards(term: Term, top: int, fraction_bits: int) -> int:
    exact = _shifted(term, top, fraction_bits)
    return exact.numerator // exact.denominator


def normalized_product(x: Term, y: Term) -> Term:
    return normalized(Term(x.significand * y.significand, x.exponent + y.exponent, x.places + y.places))


def rounded_to_nearest(total: int, exponent: int, unit: Unit, accumulator: str) -> float:
    return reference.fitted(total, exponent, BINARY32, unit.result_bits, even=True)


def rounded_to_zero(total: int, exponent: int, unit: Unit, accumulator: str) -> float:
    return reference.fitted(total, exponent, BINARY16, 10, even=False)


def normalized(term: Term) -> Term:
    excess = abs(term.significand).bit_length() - 1 - term.places if term.significand else 0
    return term._replace(exponent=term.exponent + excess, places=term.places + excess)


def normalized_chunks(name: str, a: Sequence[Term], *others: Sequence[object]) -> list[Term]:
    return [normalized(term) for term in _CHUNKS(name, a, *others)]


_CHUNKS = reference_scaled.chunk_terms
_FUSED = reference.fused_sum


def late_c(unit: Unit, products: Sequence[Term], c: float, accumulator: str) -> float:
    """Products are summed first; the exact sum and c are aligned and added then."""
    present = [term.exponent for term in products if term.significand]
    if not present:
        return _FUSED(unit, products, c, accumulator)
    top = max(unit.exponent_floor, *present)
    total = sum(reference.aligned(term, top, unit.fraction_bits) for term in products)
    summed = Term(total, top + total.bit_length() - 1 - unit.fraction_bits, total.bit_length() - 1)
    return _FUSED(unit, [summed], c, accumulator)


#: Wrong hypotheses: what replaces which function of the specification, or changes the unit.
FUNCTIONS: dict[str, dict[str, object]] = {
    "aligned to nearest": {"aligned": aligned_to_nearest},
    "aligned downwards": {"aligned": aligned_downwards},
    "normalized products": {"product": normalized_product},
    "late c": {"fused_sum": late_c},
}
UNITS: dict[str, Change] = {
    "one fraction bit more": lambda unit: replace(unit, fraction_bits=unit.fraction_bits + 1),
    "one fraction bit less": lambda unit: replace(unit, fraction_bits=unit.fraction_bits - 1),
    "half the group": lambda unit: replace(unit, group=unit.group // 2),
    "twice the group": lambda unit: replace(unit, group=2 * unit.group, k=unit.k[-1:]),
}
NAMES = (*FUNCTIONS, *UNITS, "other rounding")


@contextmanager
def mutated(name: str, unit: Unit, accumulator: str) -> Iterator[Unit]:
    """The specification with one rule replaced, and the unit that it is asked about."""
    changes = dict(FUNCTIONS.get(name, {}))
    if name == "other rounding":
        changes["rounded"] = rounded_to_zero if accumulator == "fp16" else rounded_to_nearest
    chunks = {"chunk_terms": normalized_chunks} if name == "normalized products" else {}
    with (
        patch.multiple(reference, **changes) if changes else nullcontext(),
        patch.multiple(reference_scaled, **chunks) if chunks else nullcontext(),
    ):
        yield UNITS[name](unit) if name in UNITS else unit
