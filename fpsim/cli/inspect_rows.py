"""What ``fpsim inspect`` shows: numbers from the command line and stdin, one row a number and format, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from fpsim.cli.headline import label
from fpsim.cli.numbers import Number, exact_number
from fpsim.cli.options import Resolved
from fpsim.cli.values import exact_text, json_value, working_width
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat, FloatFormat
from fpsim.number.conversion import Conversion
from fpsim.number.inspection import Inspection, Neighbour, inspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A number as it was written, a format, and what the one becomes in the other."""

    text: str
    resolved: Resolved
    format: ElementFormat
    found: Inspection


def numbers(words: Sequence[str], stdin: TextIO) -> list[tuple[str, Number]]:
    """Return each number with its text; ``-`` stands for all those on stdin.

    Raises:
        FpsimError: a word that is no number, ``-`` twice, nothing on stdin.
    """
    if list(words).count("-") > 1:
        raise FpsimError("'-' reads all of stdin, so it can be given only once")
    texts: list[str] = []
    for word in words:
        texts += stdin.read().split() if word == "-" else [word]
    if not texts:
        raise FpsimError("no numbers on stdin; pipe in some, separated by spaces or line ends")
    return [(text, exact_number(text)) for text in texts]


def cases(found: Sequence[tuple[str, Number]], formats: Sequence[Resolved], how: Conversion) -> list[Case]:
    """Return every number in every format, the formats of the first number first.

    Raises:
        FpsimError: a block format; as :func:`fpsim.number.inspection.inspect`.
    """
    result = []
    for text, x in found:
        for resolved in formats:
            fmt = _element(resolved)
            result.append(Case(text=text, resolved=resolved, format=fmt, found=inspect(fmt, x, how)))
    return result


def _element(resolved: Resolved) -> ElementFormat:
    fmt = resolved.format
    if isinstance(fmt, BlockFormat):
        raise FpsimError(
            f"{fmt.name} is a block format: what a number becomes depends on its block's scale; inspect its element, "
            f"--format {fmt.element.name}, or its scale, --format {fmt.scale.name}"
        )
    working_width(fmt)  # refuses a format beyond float64, whose header could not be written
    return fmt


def record(case: Case) -> dict[str, Any]:
    """Return a case as one flat record; fractions are texts that ``Fraction`` reads, what does not exist is None."""
    fmt, found = case.format, case.found
    return {
        "x": case.text,
        "exact_x": exact_text(found.x),
        "format": label(case.resolved),
        "code": found.code,
        **_fields(fmt, found.code),
        "class": found.kind,
        "value": json_value(_as_float(found.value)),
        "exact": exact_text(found.value),
        **_sided("below", found.below),
        **_sided("above", found.above),
        **{key: _text(getattr(found, key)) for key in ("ulp", "error", "error_ulps", "relative")},
        "inexact": not found.exact,
        "tie": found.tie,
        "overflow": found.overflow,
        "underflow": found.underflow,
    }


def _fields(fmt: ElementFormat, code: int) -> dict[str, int | None]:
    if not isinstance(fmt, FloatFormat):
        return {"sign": None, "exponent_field": None, "mantissa_field": None}
    exponent_field, mantissa = divmod(code & fmt.magnitude_mask, 1 << fmt.mantissa_bits)
    return {"sign": int(bool(code & fmt.sign_bit)), "exponent_field": exponent_field, "mantissa_field": mantissa}


def _sided(side: str, neighbour: Neighbour | None) -> dict[str, Any]:
    if neighbour is None:
        return {f"{side}_code": None, side: None}
    return {f"{side}_code": neighbour.code, side: exact_text(neighbour.value)}


def _text(value: Number | None) -> str | None:
    return None if value is None else exact_text(value)


def _as_float(value: Number) -> float:
    """The nearest float64, also where there is none but infinity."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
