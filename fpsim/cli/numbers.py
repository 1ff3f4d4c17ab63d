"""Numbers on the command line, read exactly and never by way of a float; and exact numbers as short text."""

from __future__ import annotations

import re
from decimal import Context, Decimal
from fractions import Fraction

from fpsim.cli.values import exact_text
from fpsim.errors import FpsimError

Number = Fraction | float
#: Magnitudes from 10^−2000 to 10^2000: far beyond every format; Python prints integers of 4300 digits at most.
_DIGITS = 2000
_DECIMAL = r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,6})?"
_HEX = r"0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?\d{1,6})?"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:(?P<inf>inf(?:inity)?)|(?P<nan>nan)|(?P<hex>{_HEX})|(?P<ratio>\d+/\d+)"
    rf"|(?P<factor>{_DECIMAL})\*(?P<b>\d+)\^(?P<e>[+-]?\d{{1,6}})|(?P<base>{_DECIMAL})\^(?P<exponent>[+-]?\d{{1,6}})"
    rf"|(?P<decimal>{_DECIMAL}))"
)


def looks_negative(word: str) -> bool:
    """Whether a word with a leading minus is a number (``-0.3``, ``-inf``, ``-1/3``) and no option."""
    return word.startswith("-") and _NUMBER.fullmatch(word.lower()) is not None


def exact_number(text: str) -> Number:
    """Read a number exactly.

    Args:
        text: a decimal (``0.1``, ``1e-3``), a fraction (``1/3``), a hexadecimal float (``0x1.8p-3``), a power
            (``2^-126``) or its multiple (``3*2^-130``), ``inf``, ``nan``; each with a sign.

    Returns:
        A Fraction, or a float for ±inf, nan and −0.

    Raises:
        FpsimError: none of these, or beyond 10^±2000.

    >>> exact_number("0.1"), exact_number("-1/3"), exact_number("0x1.8p-3"), exact_number("-0")
    (Fraction(1, 10), Fraction(-1, 3), Fraction(3, 16), -0.0)
    """
    if len(text) > _DIGITS:
        raise _too_far(text)
    match = _NUMBER.fullmatch(text.strip().lower())
    if match is None:
        raise FpsimError(f"{text!r} is not a number; write 0.1, 1/3, 0x1.8p-3, 2^-126, inf or nan")
    negative = match["sign"] == "-"
    if match["nan"]:
        return float("nan")
    if match["inf"]:
        return float("-inf") if negative else float("inf")
    magnitude = _magnitude(match, text)
    if magnitude == 0:
        return -0.0 if negative else Fraction(0)
    if max(magnitude.numerator.bit_length(), magnitude.denominator.bit_length()) > _DIGITS * 3.33:
        raise _too_far(text)
    return -magnitude if negative else magnitude


def _magnitude(match: re.Match[str], text: str) -> Fraction:
    if match["hex"]:
        digits, _, exponent = match["hex"][2:].partition("p")
        whole, _, part = digits.partition(".")
        return Fraction(int(whole + part, 16)) * _power(2, int(exponent or 0) - 4 * len(part), text)
    if match["factor"]:
        return _decimal(match["factor"], text) * _power(int(match["b"]), int(match["e"]), text)
    if match["base"]:
        return _power(_decimal(match["base"], text), int(match["exponent"]), text)
    if match["ratio"]:
        numerator, _, denominator = match["ratio"].partition("/")
        if not int(denominator):
            raise FpsimError(f"{text!r} divides by zero; for infinity write inf")
        return Fraction(int(numerator), int(denominator))
    return _decimal(match["decimal"], text)


def _decimal(text: str, whole: str) -> Fraction:
    if abs(int(text.partition("e")[2] or 0)) > _DIGITS:
        raise _too_far(whole)
    return Fraction(text)


def _power(base: int | Fraction, exponent: int, text: str) -> Fraction:
    size = max(Fraction(base).numerator.bit_length(), Fraction(base).denominator.bit_length())
    if size * abs(exponent) > 4 * 4 * _DIGITS:
        raise _too_far(text)
    if base == 0 and exponent < 0:
        raise FpsimError(f"{text!r} divides by zero; for infinity write inf")
    return Fraction(base) ** exponent


def _too_far(text: str) -> FpsimError:
    shown = text if len(text) <= 40 else text[:37] + "..."
    return FpsimError(f"{shown!r} is beyond 10^-{_DIGITS} to 10^{_DIGITS}; every format ends long before")


def digits(exact: Number, count: int = 9, *, sign: bool = False) -> str:
    """Return a number with a number of significant digits, correctly rounded, at any magnitude.

    >>> digits(Fraction(1, 3), 4), digits(Fraction(1, 80), 3, sign=True), digits(Fraction(1, 10**500), 3)
    ('0.3333', '+0.0125', '1e-500')
    """
    if isinstance(exact, float):
        return exact_text(exact)
    context = Context(prec=count, Emax=99999, Emin=-99999)
    value = context.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    plain = value == 0 or -4 <= value.adjusted() < max(count, 6)
    text = f"{value:f}" if plain else f"{value:e}"
    mantissa, e, exponent = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    if e:
        exponent = f"{exponent[0]}{exponent[1:]:0>2}"
    return ("+" if sign and exact > 0 else "") + mantissa + e + exponent
