"""The rows of ``fpsim table``: every code of a format, its fields and its values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from fpsim.cli.values import as_float
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat
from fpsim.number.exact import decode

#: More codes than this only with a range, and more than the second number not at once.
MOST, MOST_IN_RANGE = 4096, 1 << 20
#: No format has more than 2^64 codes, and Python reads no integer of thousands of digits.
_NUMBER = r"(0[xX][0-9a-fA-F]{1,30}|[0-9]{1,30})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What a float code consists of; ``exponent`` and ``ulp`` are None where they mean nothing.

    Args:
        sign: 0 or 1.
        exponent_field: the exponent field as an integer.
        mantissa_field: the mantissa field as an integer.
        kind: ``zero``, ``subnormal``, ``normal``, ``inf`` or ``nan``.
        exponent: of the value on the integer-bias grid.
        significand: the same in binary, such as ``1.01``; None for inf and nan.
        ulp: distance to the next value of the binade, exactly, scale included.
    """

    sign: int
    exponent_field: int
    mantissa_field: int
    kind: str
    exponent: int | None
    significand: str | None
    ulp: Fraction | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A code with its value in the working width, its exact value, and its fields if the format is a float."""

    code: int
    value: float
    exact: Fraction | float
    fields: Fields | None


def rows(fmt: ElementFormat, codes: Iterable[int], width: int) -> list[Row]:
    """Return the rows of codes; values are those of :func:`fpsim.number.exact.decode`.

    Args:
        fmt: an element format.
        codes: codes of the format.
        width: the working width, 32 or 64.
    """
    result = []
    for code in codes:
        exact = decode(fmt, code, width=width)
        fields = float_fields(fmt, code, exact, width) if isinstance(fmt, FloatFormat) else None
        result.append(Row(code=code, value=as_float(fmt, exact, width), exact=exact, fields=fields))
    return result


def float_fields(fmt: FloatFormat, code: int, exact: Fraction | float, width: int) -> Fields:
    """Split a code whose exact value is known."""
    magnitude = code & fmt.magnitude_mask
    exponent_field, mantissa = divmod(magnitude, 1 << fmt.mantissa_bits)
    kind = _kind(fmt, exponent_field, exact)
    exponent: int | None = None
    significand: str | None = None
    ulp: Fraction | None = None
    if kind not in ("inf", "nan"):
        subnormal = exponent_field == 0 and fmt.zero
        grid_exponent = fmt.emin if subnormal else exponent_field - math.floor(fmt.bias)
        exponent = None if kind == "zero" else grid_exponent
        significand = _binary(0 if subnormal else 1, 0 if kind == "zero" else mantissa, fmt.mantissa_bits)
        if kind != "zero" or fmt.subnormals:  # without subnormals the step from 0 is the smallest normal, no ulp
            ulp = Fraction(fmt.scale(width)) * Fraction(2) ** (grid_exponent - fmt.mantissa_bits)
    return Fields(
        sign=int(bool(code & fmt.sign_bit)),
        exponent_field=exponent_field,
        mantissa_field=mantissa,
        kind=kind,
        exponent=exponent,
        significand=significand,
        ulp=ulp,
    )


def _kind(fmt: FloatFormat, exponent_field: int, exact: Fraction | float) -> str:
    if isinstance(exact, float) and not math.isfinite(exact):
        return "nan" if math.isnan(exact) else "inf"
    if exact == 0:
        return "zero"
    return "subnormal" if exponent_field == 0 and fmt.zero else "normal"


def _binary(hidden: int, mantissa: int, bits: int) -> str:
    return f"{hidden}.{mantissa:0{bits}b}" if bits else str(hidden)


def select(fmt: ElementFormat, span: str | None, positive: bool) -> list[int]:
    """Return the codes to show.

    Args:
        fmt: an element format.
        span: ``A:B``, half-open, decimal or 0x; None for all.
        positive: leave out the codes with a sign bit (of a codebook: the negative values).

    Raises:
        FpsimError: a span that is none, lies outside or is empty; too many codes.
    """
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    chosen = range(count) if span is None else parse_span(span, count, fmt.name)
    most = MOST if span is None else MOST_IN_RANGE
    if span is None and positive and not isinstance(fmt, CodebookFormat):
        chosen = range(count // 2 if fmt.signed else count)
    if len(chosen) > most:
        cure = "give --range A:B, such as --range 0:256" if span is None else f"take at most {most:,} at a time"
        raise FpsimError(
            f"{fmt.name} with {fmt.bits} bits has {len(chosen):,} codes to show, more than {most:,}; {cure}"
        )
    return [code for code in chosen if not (positive and _is_negative(fmt, code))]


def _is_negative(fmt: ElementFormat, code: int) -> bool:
    if isinstance(fmt, CodebookFormat):
        return fmt.values[code] < 0
    return fmt.signed and bool(code >> (fmt.bits - 1))


def parse_span(text: str, count: int, name: str) -> range:
    """Parse ``A:B`` as a half-open range of codes.

    Raises:
        FpsimError: not of this form, empty, or outside the codes.

    >>> parse_span("0x10:20", 256, "int8")
    range(16, 20)
    """
    match = re.fullmatch(f"{_NUMBER}:{_NUMBER}", text.strip())
    if not match:
        raise FpsimError(
            f"range {text!r} is not of the form A:B with codes in decimal or 0x, such as 0:16 or 0x78:0x80"
        )
    start, stop = (int(number, 0 if number[:2] in ("0x", "0X") else 10) for number in match.groups())
    if start >= stop:
        raise FpsimError(f"range {text!r} is empty: A:B runs from A to B - 1, so B must be larger than A")
    if stop > count:
        raise FpsimError(f"range {text!r} ends outside {name}: its codes are 0 to {count - 1}, so B is at most {count}")
    return range(start, stop)
