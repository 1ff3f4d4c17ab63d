"""The formats of the IEEE P3109 draft, ``binary{K}p{P}{s|u}{e|f}``.

K bits, precision P, signed or unsigned, extended (with Inf) or finite.
"""

from __future__ import annotations

import re

from fpsim.errors import FpsimError
from fpsim.number.floats import FloatFormat, Specials

_NAME = re.compile(r"binary([1-9]\d?)p(0|[1-9]\d?)(?:([su])([ef]))?")
#: The draft has no largest width; a code of more bits has no table.
_BITS = (3, 16)
#: Exponent fields of more bits reach beyond float64.
_EXPONENT_BITS = 11
_SOURCE = "draft IEEE P3109, Interim Report v4.0.3 (2026, no approved standard), section 3.1: "


def p3109(name: str) -> FloatFormat | None:
    """Return the P3109 format of a name in lower case; None if it is no such name.

    Raises:
        FpsimError: a name that the draft does not define, or a format beyond float64.

    >>> p3109("binary8p4se").max, p3109("binary8p4sf").max
    (Fraction(224, 1), Fraction(240, 1))
    """
    match = _NAME.fullmatch(name)
    if not match:
        return None
    k, p = int(match[1]), int(match[2])
    if not match[3]:
        raise FpsimError(
            f"{name!r} does not say which: {name}se or {name}sf (signed, with Inf or finite), "
            f"{name}ue or {name}uf (unsigned)"
        )
    signed, extended = match[3] == "s", match[4] == "e"
    exponent_bits = _exponent_bits(name, k, p, signed)
    finite = Specials.FNUZ if signed else Specials.FN
    return FloatFormat(
        name=name,
        exponent_bits=exponent_bits,
        mantissa_bits=p - 1,
        bias=1 << (exponent_bits - 1),
        signed=signed,
        specials=Specials.P3109 if extended else finite,
        source=_SOURCE + ("extended" if extended else "finite"),
    )


def _exponent_bits(name: str, k: int, p: int, signed: bool) -> int:
    sort = "signed" if signed else "unsigned"
    if not _BITS[0] <= k <= _BITS[1]:
        raise FpsimError(f"{name!r} has {k} bits; P3109 formats of {_BITS[0]} to {_BITS[1]} bits are available")
    if not 1 <= p <= k - signed:
        raise FpsimError(f"{name!r} has precision {p}; with {k} bits {sort} P3109 formats have 1 to {k - signed}")
    exponent_bits = k - p + (not signed)
    if exponent_bits > _EXPONENT_BITS:
        raise FpsimError(
            f"{name!r} has {exponent_bits} exponent bits and values beyond float64; {_EXPONENT_BITS} are the most: "
            f"take a precision of at least {p + exponent_bits - _EXPONENT_BITS}"
        )
    return exponent_bits


__all__ = ["p3109"]
