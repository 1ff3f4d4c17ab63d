"""The specification of block scales: MX scales move exponents, FP4 units scale exact sums of 16 products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fpsim.tensorcore.reference import Term

#: Products that an FP4 unit sums exactly before their scales meet them.
CHUNK = 16
#: Fraction bits of E4M3, in which NVFP4 has its scales; powers of two need fewer.
_PLACES = 3
#: Least exponents of the scale formats, E4M3 and E8M0.
_LEAST = {"nvfp4": -6, "mxfp4": -127}


def raised(products: Sequence[Term], scale_a: Sequence[float], scale_b: Sequence[float]) -> list[Term]:
    """Return products whose exponents carry those of their power-of-two scales."""
    return [
        term._replace(exponent=term.exponent + math.frexp(sa)[1] - 1 + math.frexp(sb)[1] - 1)
        for term, sa, sb in zip(products, scale_a, scale_b, strict=True)
    ]


def chunk_terms(
    name: str, a: Sequence[Term], b: Sequence[Term], scale_a: Sequence[float], scale_b: Sequence[float]
) -> list[Term]:
    """Return a term for each 16 products: their exact sum times the scales' significands, at the scales' exponents.

    Args:
        name: ``nvfp4`` or ``mxfp4``, which says what the scales are.
        a: significands and exponents, see :class:`fpsim.tensorcore.reference.Term`.
        b: the same of the other operand.
        scale_a: the scale of each element of a.
        scale_b: the scale of each element of b.
    """
    terms = []
    for begin in range(0, len(a), CHUNK):
        pairs = list(zip(a[begin : begin + CHUNK], b[begin : begin + CHUNK], strict=True))
        places = pairs[0][0].places + pairs[0][1].places
        exact = sum(x.significand * y.significand << x.exponent + y.exponent for x, y in pairs)  # exponents: 0 to 4
        (sig_a, exp_a), (sig_b, exp_b) = (_scale(x[begin], _LEAST[name]) for x in (scale_a, scale_b))
        terms.append(type(a[0])(exact * sig_a * sig_b, exp_a + exp_b, places + 2 * _PLACES))
    return terms


def _scale(value: float, least: int) -> tuple[int, int]:
    """Significand with 3 places, and exponent, of a scale."""
    exponent = max(math.frexp(value)[1] - 1, least)
    return int(math.ldexp(value, _PLACES - exponent)), exponent
