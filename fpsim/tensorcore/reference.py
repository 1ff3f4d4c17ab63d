"""The specification: one output of a matrix unit on Python integers, written to be read.

The compiled engine equals this module bit for bit. It is slow on purpose, one rule a function:

1. A number is ``significand · 2^(exponent − places)``. Subnormals have their format's least exponent, so their
   significand is below 1. A product's significand is not normalized: it lies in [0, 4).
2. The terms of a fused sum are a group's products and the accumulator. All are aligned to the largest exponent of
   those that are not 0, and their magnitudes truncated to F fraction bits. They add up exactly.
3. The sum is truncated to the accumulator's fraction bits (fp16: rounded, ties to even). It is the accumulator of
   the next group.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from fpsim.number import FloatFormat
from fpsim.number.exact import BINARY16, BINARY32
from fpsim.tensorcore import reference_scaled
from fpsim.tensorcore.architecture import FP16_FRACTION_BITS, Unit
from fpsim.tensorcore.operands import element_format, least_exponent
from fpsim.tensorcore.reference_specials import special_sum

Numbers = Sequence[float]


class Term(NamedTuple):
    """The number ``significand · 2^(exponent − places)``; alignment sees its exponent."""

    significand: int
    exponent: int
    places: int


def dot(
    unit: Unit,
    types: tuple[str, str],
    a: Numbers,
    b: Numbers,
    c: float = 0.0,
    *,
    accumulator: str = "fp32",
    scale_a: Numbers = (),
    scale_b: Numbers = (),
) -> float:
    """Return the sum of a·b plus c after the instructions along K.

    Args:
        unit: the matrix unit.
        types: names of the types of a and b.
        a: K numbers that the first type holds.
        b: K numbers that the second type holds.
        c: the accumulator's start.
        accumulator: ``fp32`` or ``fp16``.
        scale_a: block scales of a, if the type has some.
        scale_b: block scales of b.
    """
    for begin in range(0, len(a), unit.step):
        place = slice(begin, begin + unit.step)
        blocks = slice(begin * len(scale_a) // len(a), (begin + unit.step) * len(scale_a) // len(a))
        c = instruction(unit, types, a[place], b[place], c, accumulator, scale_a[blocks], scale_b[blocks])
    return c


def instruction(
    unit: Unit,
    types: tuple[str, str],
    a: Numbers,
    b: Numbers,
    c: float,
    accumulator: str,
    scale_a: Numbers,
    scale_b: Numbers,
) -> float:
    """Return what one instruction makes of its accumulator: group after group, in the unit's order."""
    value = c if unit.c == "fused" else 0.0
    for group in groups(unit, len(a)):
        ours, theirs = [a[k] for k in group], [b[k] for k in group]
        scales_a, scales_b = (_of_each(scale, group, len(a)) for scale in (scale_a, scale_b))
        special = special_sum(ours, theirs, scales_a, scales_b, value)
        if special is not None:
            value = special
            continue
        x = [decode(v, element_format(types[0])) for v in ours]
        y = [decode(v, element_format(types[1])) for v in theirs]
        if unit.scaling == "chunks":
            products = reference_scaled.chunk_terms(types[0], x, y, scales_a, scales_b)
        else:
            products = [product(p, q) for p, q in zip(x, y, strict=True)]
            products = reference_scaled.raised(products, scales_a, scales_b)
        value = fused_sum(unit, products, value, accumulator)
    return value if unit.c == "fused" else added(c, value, accumulator)


def _of_each(scale: Numbers, group: Sequence[int], k: int) -> list[float]:
    """The block scale of each element of a group, 1 without any."""
    return [scale[i * len(scale) // k] if scale else 1.0 for i in group]


def groups(unit: Unit, k: int) -> list[list[int]]:
    """Return the indices that each group takes, in their order."""
    index = list(range(k))
    if unit.order == "pairs":
        index = [i for i in index if i % 4 < 2] + [i for i in index if i % 4 >= 2]
    return [index[i : i + unit.group] for i in range(0, k, unit.group)]


def decode(value: float, fmt: FloatFormat) -> Term:
    """Return a finite number of a format as integers."""
    least = least_exponent(fmt)
    exponent = max(math.frexp(value)[1] - 1, least) if value else least
    significand = Fraction(value) * Fraction(2) ** (fmt.mantissa_bits - exponent)
    assert significand.denominator == 1, f"{value} is no {fmt.name}"
    return Term(int(significand), exponent, fmt.mantissa_bits)


def product(x: Term, y: Term) -> Term:
    """Return the exact product, not normalized."""
    return Term(x.significand * y.significand, x.exponent + y.exponent, x.places + y.places)


def fused_sum(unit: Unit, products: Sequence[Term], c: float, accumulator: str) -> float:
    """Return the sum of products and accumulator: aligned, truncated, added exactly, rounded once."""
    terms = [*products, decode(c, BINARY16 if accumulator == "fp16" else BINARY32)]
    top = max([unit.exponent_floor, *(term.exponent for term in terms if term.significand)])
    total = sum(aligned(term, top, unit.fraction_bits) for term in terms)
    return rounded(total, top - unit.fraction_bits, unit, accumulator)


def aligned(term: Term, top: int, fraction_bits: int) -> int:
    """Return the term in units of ``2^(top − fraction_bits)``, its magnitude truncated."""
    shift = term.exponent - term.places - (top - fraction_bits)
    size = abs(term.significand) << shift if shift >= 0 else abs(term.significand) >> -shift
    return -size if term.significand < 0 else size


def rounded(total: int, exponent: int, unit: Unit, accumulator: str) -> float:
    """Return ``total · 2^exponent`` as the accumulator's type holds it; a sum of exactly 0 is +0."""
    if accumulator == "fp16":
        return fitted(total, exponent, BINARY16, FP16_FRACTION_BITS, even=True)
    return fitted(total, exponent, BINARY32, unit.result_bits, even=False)


def fitted(total: int, exponent: int, fmt: FloatFormat, kept: int, *, even: bool) -> float:
    """Return ``total · 2^exponent`` cut to ``kept`` fraction bits, or rounded with ties to even; overflow is Inf."""
    size = abs(total)
    leading = size.bit_length() - 1 + exponent
    low = max(leading, least_exponent(fmt)) - kept
    whole, rest = divmod(Fraction(size) * Fraction(2) ** (exponent - low), 1)
    if even and (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2)):
        whole += 1
    value = whole * Fraction(2) ** low
    limit = Fraction(2) ** (1 << (fmt.exponent_bits - 1))
    return math.copysign(math.inf if value >= limit else float(value), total)


def added(x: float, y: float, accumulator: str) -> float:
    """Return the IEEE sum of two numbers of the accumulator's type, ties to even."""
    if x == 0 == y or not (math.isfinite(x) and math.isfinite(y)):
        return x + y
    fmt = BINARY16 if accumulator == "fp16" else BINARY32
    exact = Fraction(x) + Fraction(y)
    exponent = 1 - exact.denominator.bit_length()
    return fitted(int(exact * exact.denominator), exponent, fmt, fmt.mantissa_bits, even=True)
