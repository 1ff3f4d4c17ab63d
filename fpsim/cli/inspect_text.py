"""``fpsim inspect`` for the eye: what was resolved, then a block a number, or one table where there is one format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from fpsim.cli.facts import bias_split
from fpsim.cli.headline import label as short_label
from fpsim.cli.inspect_rows import Case
from fpsim.cli.numbers import digits
from fpsim.cli.options import Resolved
from fpsim.cli.render import Column, Table
from fpsim.cli.values import code_text, short_text
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion, NanPolicy
from fpsim.number.inspection import Inspection, Neighbour, own_scale
from fpsim.number.label import label

_NONE = "-"
_RIGHT = ("value", "error", "ulps", "relative", "below", "above")
#: Decimals of up to this many digits are exact; longer ones have the digits that tell values of a precision apart.
_LONG, _DIGITS = 11, ((16, 6), (24, 9), (53, 17))
#: Fractions of up to this length are written as such.
_SHORT = 7


def tables(cases: Sequence[Case], formats: Sequence[Resolved], how: Conversion) -> Iterator[Table]:
    """Yield the tables in their order: results, then neighbours; for each number where there are several formats."""
    comments = header(formats, how)
    if len(formats) == 1:
        yield _results(cases, [case.text for case in cases], "x", comments)
        yield _neighbours(cases, [case.text for case in cases], "x")
        return
    for start in range(0, len(cases), len(formats)):
        block = cases[start : start + len(formats)]
        names = [short_label(case.resolved) for case in block]
        yield _results(block, names, "format", (*comments, title(block[0])))
        yield _neighbours(block, names, "format")
        comments = ()


def header(formats: Sequence[Resolved], how: Conversion) -> tuple[str, ...]:
    """Return the comment lines: what each name resolved to, and the policies."""
    lines = []
    for resolved in formats:
        fmt = resolved.format
        local = resolved.asked.rpartition("#")[2]
        lines.append(label(fmt) if local == fmt.name else f"{local} = {label(fmt)}")
        if isinstance(fmt, FloatFormat) and own_scale(fmt) != 1:
            rest = bias_split(fmt)[1]
            lines.append(f"  grid * s, s = 2^-{rest} = {fmt.scale(64)!r}; rounds the float64 quotient x / s")
    nan = "" if how.nan is NanPolicy.KEEP else f", NaN becomes {how.nan}"
    lines.append(f"rounding {how.rounding}, overflow {how.overflow}{nan}; read exactly, rounded once")
    lines.append("at: where x lies between below (0) and above (1); ulp: the step of its binade")
    return tuple(lines)


def title(case: Case) -> str:
    """Return the number as it was written, as an exact fraction and as a decimal, where these differ."""
    x = case.found.x
    exact, decimal = short_text(x), digits(x)
    text = case.text if exact == case.text else f"{case.text} = {exact}"
    if not set(case.text) & set("/^xX*") or exact.lstrip("-").isdigit():
        return text
    return f"{text} {'=' if Fraction(decimal) == x else '~'} {decimal}"


def _results(cases: Sequence[Case], names: Sequence[str], head: str, comments: tuple[str, ...]) -> Table:
    fields = _field_head({case.format for case in cases})
    heads = (head, "code", fields, "value", "exact", "error", "ulps", "relative")
    rows = [(name, *_result(case.format, case.found)) for name, case in zip(names, cases, strict=True)]
    return Table(columns=_columns(heads), rows=rows, comments=comments)


def _neighbours(cases: Sequence[Case], names: Sequence[str], head: str) -> Table:
    heads = (head, "code", "below", "code", "above", "ulp", "at", "is")
    rows = [(name, *_between(case.format, case.found)) for name, case in zip(names, cases, strict=True)]
    return Table(columns=_columns(heads), rows=rows)


def _columns(heads: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(name=head, right=head in _RIGHT) for head in heads)


def _field_head(formats: set[ElementFormat]) -> str:
    """``s eeee mmm`` of one float format, ``s e m`` of several formats, ``bits`` where there are no fields."""
    (only, *others) = formats
    if others:
        return "s e m"
    if not isinstance(only, FloatFormat):
        return "bits"
    return " ".join(part for part in ("s" * only.signed, "e" * only.exponent_bits, "m" * only.mantissa_bits) if part)


def _result(fmt: ElementFormat, found: Inspection) -> tuple[str, ...]:
    return (
        code_text(found.code, fmt.bits),
        bits_text(fmt, found.code),
        _decimal(fmt, found.value),
        _exact(fmt, found.value),
        _signed(found.error, 3),
        _signed(found.error_ulps, 2),
        _signed(found.relative, 2),
    )


def bits_text(fmt: ElementFormat, code: int) -> str:
    """Return a code in binary, a float's with spaces between sign, exponent and mantissa."""
    bits = f"{code:0{fmt.bits}b}"
    if not isinstance(fmt, FloatFormat):
        return bits
    sign, point = int(fmt.signed), int(fmt.signed) + fmt.exponent_bits
    return " ".join(part for part in (bits[:sign], bits[sign:point], bits[point:]) if part)


def _exact(fmt: ElementFormat, value: Fraction | float) -> str:
    """The exact value; with a real bias the grid's, times ``s``."""
    scale = own_scale(fmt)
    if isinstance(value, float) or value == 0:
        return short_text(value)
    return compact(value / scale) + ("*s" if scale != 1 else "")


def compact(exact: Fraction) -> str:
    """Return a fraction, a long one over a power of two as ``2^-17`` or ``3*2^-17`` where that is shorter.

    >>> compact(Fraction(5, 16)), compact(Fraction(-1, 131072)), compact(Fraction(3, 131072))
    ('5/16', '-2^-17', '3*2^-17')
    """
    text = str(exact)
    if len(text) <= _SHORT or exact.denominator.bit_count() > 1:
        return text
    power = f"2^-{exact.denominator.bit_length() - 1}"
    odd = {1: "", -1: "-"}.get(exact.numerator, f"{exact.numerator}*")
    return min(text, odd + power, key=len)


def _decimal(fmt: ElementFormat, value: Fraction | float) -> str:
    whole = digits(value, _LONG)
    if len(whole.lstrip("-")) <= _LONG and (isinstance(value, float) or Fraction(whole) == value):
        return whole
    precision = fmt.precision if isinstance(fmt, FloatFormat) else 0
    return digits(value, next(count for most, count in _DIGITS if precision <= most))


def _signed(value: Fraction | None, count: int) -> str:
    return _NONE if value is None else digits(value, count, sign=True)


def _between(fmt: ElementFormat, found: Inspection) -> tuple[str, ...]:
    return (
        *_neighbour(fmt, found.below),
        *_neighbour(fmt, found.above),
        _NONE if found.ulp is None else _exact(fmt, found.ulp),
        _place(found),
        ", ".join(_words(found)) or _NONE,
    )


def _neighbour(fmt: ElementFormat, neighbour: Neighbour | None) -> tuple[str, str]:
    if neighbour is None:
        return _NONE, _NONE
    return code_text(neighbour.code, fmt.bits), _decimal(fmt, neighbour.value)


def _place(found: Inspection) -> str:
    """Where a number that is not exact lies on the way from its lower to its upper neighbour, 0 to 1."""
    if found.exact or found.below is None or found.above is None:
        return _NONE
    low, high = Fraction(found.below.value), Fraction(found.above.value)
    return digits((Fraction(found.x) - low) / (high - low), 3)


def _words(found: Inspection) -> list[str]:
    known = {
        "exact": found.exact,
        "tie": found.tie,
        "overflow": found.overflow,
        "to zero": found.underflow,
        "subn.": found.kind == "subnormal",
    }
    return [word for word, holds in known.items() if holds]
