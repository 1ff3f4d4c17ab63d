"""What ``fpsim formats`` says: the catalogue's entries, one format's facts in words, its namesakes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from fpsim.cli.headline import label
from fpsim.cli.options import Resolved
from fpsim.cli.values import decimal_text, exact_scale, short_text, value_text
from fpsim.errors import FpsimError
from fpsim.number import FloatFormat, Format, Specials
from fpsim.number.catalogue import Entry, builtin, from_file
from fpsim.number.names import format as named_format

_SUFFIXES = ("", "-ieee", "-fn", "-fnuz", "-none")
_EXACT = ("max", "min", "min_normal", "min_subnormal", "step")


def catalogue(files: tuple[str, ...]) -> list[Entry]:
    """Return the entries of the user's files, then the built-in ones whose names those leave alone."""
    entries: dict[str, Entry] = {}
    for file in files:
        entries |= from_file(file)
    return list({**entries, **{name: entry for name, entry in builtin().items() if name not in entries}}.values())


def aliases(resolved: Resolved, files: tuple[str, ...]) -> tuple[str, ...]:
    """Return the other names of a format's catalogue entry; a member of a family has none."""
    path = resolved.asked.rpartition("#")[0]
    for entry in catalogue((*files, path) if path else files):
        if entry.format is resolved.standard:
            return entry.aliases
    return ()


def namesakes(fmt: Format, files: tuple[str, ...]) -> list[FloatFormat]:
    """Return the other formats with the same exponent and mantissa bits, the catalogue's first."""
    if not isinstance(fmt, FloatFormat):
        return []
    found: dict[FloatFormat, None] = {}
    family = f"e{fmt.exponent_bits}m{fmt.mantissa_bits}"
    candidates = [entry.format for entry in catalogue(files)]
    for name in (f"chen-{family}", *(family + suffix for suffix in _SUFFIXES)):
        try:
            candidates.append(named_format(name, files=files))
        except FpsimError:  # beyond the family's limits, or a convention that has no room in these bits
            continue
    for other in candidates:
        if isinstance(other, FloatFormat) and other != fmt and _layout(other) == _layout(fmt):
            found.setdefault(other)
    return list(found)


def _layout(fmt: FloatFormat) -> tuple[bool, int, int]:
    return fmt.signed, fmt.exponent_bits, fmt.mantissa_bits


def notes(resolved: Resolved, others: list[FloatFormat]) -> tuple[str, ...]:
    """Return the comment lines over a float format's facts: what it is, and what it is not."""
    fmt = resolved.format
    if not isinstance(fmt, FloatFormat):
        return ()
    lines = [f"{label(resolved)}: {in_words(fmt)}"]
    if others:
        lines.append(f"{fmt.exponent_bits} exponent and {fmt.mantissa_bits} mantissa bits mean other values elsewhere:")
        width = max(len(other.name) for other in others)
        lines += [f"  {other.name:<{width}}  {in_words(other)}" for other in others]
    return tuple(lines)


def in_words(fmt: FloatFormat) -> str:
    """Return the facts that tell a float format from its namesakes."""
    special = {
        Specials.IEEE: "Inf and NaN",
        Specials.FN: f"no Inf, one NaN{' a sign' * fmt.signed}",
        Specials.FNUZ: "no Inf, one NaN in the code of -0",
        Specials.NONE: "no Inf, no NaN",
        Specials.P3109: "Inf at the top, one NaN in the code of -0" if fmt.signed else "NaN at the top, Inf below it",
    }[fmt.specials]
    return f"max {number(fmt.max * exact_scale(fmt))}, {special}, bias {fmt.bias} (specials {fmt.specials})"


def fact_text(key: str, value: Any) -> str:
    """Return a fact for the eye."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) if isinstance(item, float) else str(item) for item in value) or "none"
    if key in _EXACT and isinstance(value, str):
        return number(Fraction(value))
    return value_text(value) if isinstance(value, float) else str(value)


def number(exact: Fraction) -> str:
    """Return an exact number, and its decimal where that is not the same text.

    >>> number(Fraction(448)), number(Fraction(1, 64)), number(Fraction(1, 3))
    ('448', '1/64 = 0.015625', '1/3 ~ 0.333333333')
    """
    text, decimal = short_text(exact), decimal_text(exact)
    if text == decimal or text.lstrip("-").isdigit():
        return text
    return f"{text} {'=' if Fraction(decimal) == exact else '~'} {decimal}"
