"""Everything about one exact number in one format: its code, its neighbours, its error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number import ordinals
from fpsim.number.codebook import CodebookFormat
from fpsim.number.conversion import DEFAULT, Conversion
from fpsim.number.encoding import Element, encode
from fpsim.number.exact import BINARY64, decode, divide
from fpsim.number.floats import FloatFormat
from fpsim.number.neighbours import Between, goes_away
from fpsim.number.ordinals import is_finite

Number = Fraction | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A finite value of the format (exact; −0.0 is a float) and its code."""

    code: int
    value: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a number becomes in a format.

    Args:
        x: the number, a Fraction, or the float ±inf, nan or −0.0.
        code: of the result.
        value: the result, exactly; with a real bias scale × grid. ±inf, nan and −0.0 are floats.
        kind: ``zero``, ``subnormal``, ``normal``, ``inf`` or ``nan``; integers and codebooks have no subnormals.
        below: the greatest finite value strictly below ``x``, or None.
        above: the least finite value strictly above ``x``, or None.
        ulp: distance of neighbouring values in the binade of ``x`` (at most the largest one), or in the gap of a
            codebook; None for NaN.
        error: ``value − x``; None where either is infinite or NaN.
        error_ulps: the same in ulps.
        relative: ``error / x``; None also for ``x`` = 0.
        exact: whether the result is ``x``.
        overflow: whether ``x`` rounds beyond the finite values, on a grid that goes on as if it had no end.
        underflow: whether a number other than 0 became 0 without overflow.
        tie: whether ``x`` lies exactly between two neighbours of that endless grid.

    With a real bias, neighbours, ulp and tie are those of ``x / scale`` on the integer-bias grid, times the scale.
    """

    x: Number
    code: int
    value: Number
    kind: str
    below: Neighbour | None
    above: Neighbour | None
    ulp: Fraction | None
    error: Fraction | None
    error_ulps: Fraction | None
    relative: Fraction | None
    exact: bool
    overflow: bool
    underflow: bool
    tie: bool


def inspect(fmt: Element, x: Number, how: Conversion = DEFAULT) -> Inspection:
    """Round a number once, from its exact value, and say how it lies in the format.

    Args:
        fmt: an element format. With a real bias the number is divided by the format's scale first, one IEEE
            division in float64 (see :func:`fpsim.number.exact.quantize`).
        x: a Fraction, or a float, which may be ±inf, nan or −0.0.
        how: rounding mode, overflow and NaN policy.

    Raises:
        FpsimError: stochastic rounding; NaN in a format without one; a policy that the format has no code for.

    >>> from fpsim.number.names import format
    >>> found = inspect(format("e4m3"), Fraction("0.3"))
    >>> hex(found.code), found.value, found.error_ulps, found.tie
    ('0x2a', Fraction(5, 16), Fraction(2, 5), False)
    """
    if not how.deterministic:
        raise FpsimError("stochastic rounding has no single result to inspect; choose another rounding mode")
    nan = isinstance(x, float) and math.isnan(x)
    x = Fraction(x) if is_finite(x) and x != 0 else x
    t = _quotient(fmt, x)
    code = encode(fmt, t, how)
    value = decode(fmt, code, width=64)
    error = Fraction(value) - Fraction(x) if is_finite(x) and is_finite(value) else None
    ulp = None if nan else ordinals.ulp(fmt, t) * own_scale(fmt)
    overflow = _overflows(fmt, t, value, how)
    return Inspection(
        x=x,
        code=code,
        value=value,
        kind=_kind(fmt, code, value),
        below=None if nan else _neighbour(fmt, ordinals.below(fmt, t)),
        above=None if nan else _neighbour(fmt, ordinals.above(fmt, t)),
        ulp=ulp,
        error=error,
        error_ulps=None if error is None or ulp is None else error / ulp,
        relative=None if error is None or x == 0 else error / Fraction(x),
        exact=x == value or (nan and isinstance(value, float) and math.isnan(value)),
        overflow=overflow,
        underflow=x != 0 and value == 0 and not overflow and not nan,
        tie=ordinals.halfway(fmt, t),
    )


def own_scale(fmt: Element) -> Fraction:
    """Return the factor between grid and values in float64: 1 but for a real bias (codes know fraction bits)."""
    return Fraction(fmt.scale(64)) if isinstance(fmt, FloatFormat) else Fraction(1)


def _quotient(fmt: Element, x: Number) -> Number:
    """The number on the integer-bias grid: itself, or its IEEE quotient by the scale of a real bias."""
    scale = own_scale(fmt)
    if scale == 1 or x == 0 or not is_finite(x):
        return x
    t = divide(BINARY64, Fraction(x), scale)
    return Fraction(t) if is_finite(t) and t != 0 else t


def _kind(fmt: Element, code: int, value: Number) -> str:
    if not is_finite(value):
        return "nan" if math.isnan(value) else "inf"
    if value == 0:
        return "zero"
    if isinstance(fmt, FloatFormat) and fmt.zero and not (code & fmt.magnitude_mask) >> fmt.mantissa_bits:
        return "subnormal"
    return "normal"


def _neighbour(fmt: Element, code: int | None) -> Neighbour | None:
    return None if code is None else Neighbour(code=code, value=decode(fmt, code, width=64))


def _overflows(fmt: Element, t: Number, value: Number, how: Conversion) -> bool:
    if not is_finite(t):
        return math.isinf(t) and t != value
    steps = ordinals.beyond(fmt, t)
    if steps is None or steps >= 1:
        return steps is not None
    assert not isinstance(fmt, CodebookFormat), "a codebook does not go on beyond its ends"
    end = fmt.max if t > 0 else ordinals.ladder(fmt).value(ordinals.ladder(fmt).ordinals[0])
    odd = encode(fmt, end) % 2 == 1
    return goes_away(Between(distance=steps, near_is_odd=odd, negative=t < 0), how)
