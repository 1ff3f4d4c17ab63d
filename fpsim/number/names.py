"""Names to formats: the catalogue, the families ``eXmY``, ``intN`` …, and the user's files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, Format, IntFormat, ScaleRule, Specials
from fpsim.number.catalogue import Entry, builtin, from_file
from fpsim.number.p3109 import p3109

_FLOAT = re.compile(r"(chen-)?e(0|[1-9]\d?)m(0|[1-9]\d?)(?:-(ieee|fn|fnuz|none))?")
_INT = re.compile(r"(u?)int(\d{1,2})(-full)?")
_RULE = re.compile(r"(.+)-(floor|ceil|even|rceil)")


def format(  # the public name: fpsim.format
    name: str | Format | Sequence[float],
    *,
    bias: float | None = None,
    specials: str | None = None,
    subnormals: bool | None = None,
    files: Sequence[str] = (),
) -> Format:
    """Return the format of a name; with overrides, everything else of the named format stays.

    Args:
        name: a catalogue name or alias (``e4m3``, ``mxfp4``, ``nf4``), a family (``e3m4``, ``e4m3-ieee``,
            ``chen-e2m1``, ``binary8p4se``, ``int6``, ``int8-full``, ``uint4``, ``mxfp4-even``), ``mine.toml#name``,
            a list of values (a codebook), or a format, which is returned as it is.
        bias: another exponent bias, any real number.
        specials: ``ieee``, ``fn``, ``fnuz``, ``p3109`` or ``none``.
        subnormals: False makes exponent field 0 hold only ±0.
        files: the user's TOML files, whose names come before the built-in ones.

    Raises:
        FpsimError: unknown name (suggests the nearest), or facts that contradict each other.

    >>> format("e2m1").max, format("e2m1", bias=3).max
    (Fraction(6, 1), Fraction(3, 2))
    """
    if isinstance(bias, bool) or not isinstance(bias, int | float | None):
        raise FpsimError(f"bias {bias!r} is no number; give one such as 3 or 6.37")
    if isinstance(name, str):
        fmt = _named(name, files)
    elif isinstance(name, FloatFormat | IntFormat | CodebookFormat | BlockFormat):
        fmt = name
    else:
        fmt = _codebook(name)
    changes: dict[str, Any] = {"bias": bias, "specials": specials, "subnormals": subnormals}
    changes = {key: value for key, value in changes.items() if value is not None}
    if not changes:
        return fmt
    if not isinstance(fmt, FloatFormat):
        raise FpsimError(f"{fmt.name} is no floating-point format, so it has no {' or '.join(changes)} to change")
    if specials is not None and specials not in set(Specials):
        raise FpsimError(f"specials {specials!r} are not one of {', '.join(Specials)}")
    return replace(fmt, **changes)


def _codebook(values: Any) -> CodebookFormat:
    try:
        return CodebookFormat(name="codebook", values=tuple(float(value) for value in values))
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, FpsimError):
            raise
        raise FpsimError(f"{values!r} is no format: give a name, a format, or a list of numbers") from None


def _named(name: str, files: Sequence[str]) -> Format:
    path, hash_, local = name.rpartition("#")
    if hash_:
        return find(local, from_file(path), f" in {path}")
    mine: dict[str, Entry] = {}
    for file in files:
        mine |= from_file(str(file))
    # One after the other, so that a built-in format keeps its aliases where the user's takes its name.
    return _lookup(name, mine) or _lookup(name, builtin()) or find(name, {**builtin(), **mine})


def _lookup(name: str, entries: Mapping[str, Entry]) -> Format | None:
    key = name.strip().lower()
    if name in entries:
        return entries[name].format
    for known, entry in entries.items():
        if key == known.lower():
            return entry.format
    for entry in entries.values():
        if key in map(str.lower, entry.aliases):
            return entry.format
    return None


def find(name: str, entries: Mapping[str, Entry], place: str = "") -> Format:
    """Return a format from catalogue entries, or from a family when no entry has the name.

    Raises:
        FpsimError: nothing has the name.
    """
    fmt = _lookup(name, entries)
    if fmt is None and not place:
        fmt = _family(name.strip().lower(), entries)
    if fmt is None:
        raise FpsimError(_unknown(name, entries, place))
    return fmt


def _family(key: str, entries: Mapping[str, Entry]) -> Format | None:
    if match := _FLOAT.fullmatch(key):
        return _float(key, match)
    if match := _INT.fullmatch(key):
        unsigned, bits, full = match.groups()
        source = "Chen et al. 2024, equation 4" if unsigned else "two's complement" + ("" if full else ", symmetric")
        return IntFormat(name=key, bits=int(bits), signed=not unsigned, full=bool(full), source=source)
    if match := _RULE.fullmatch(key):
        base = _lookup(match[1], entries)  # no family: none has block formats but this one, and one rule is enough
        if isinstance(base, BlockFormat):
            return replace(base, name=key, rule=ScaleRule(match[2]))
    return p3109(key)


def _float(key: str, match: re.Match[str]) -> FloatFormat:
    chen, e, m, specials = match[1], int(match[2]), int(match[3]), match[4] or "none"
    if not 1 <= e <= 8 or e + m > 15:
        raise FpsimError(f"{key!r} has {e} exponent and {m} mantissa bits; eXmY takes 1 <= X <= 8 and X + Y <= 15")
    if chen and specials != "none":
        raise FpsimError(f"{key!r}: the paper's formats are all-finite; drop '-{specials}'")
    if chen:
        bias, source = 2 ** (e - 1), "Chen et al. 2024, equation 5 with the default bias 2^(e-1)"
    elif specials == "fnuz":
        bias, source = 2 ** (e - 1), "fnuz convention: no Inf, no -0, NaN in the code of -0, bias 2^(e-1)"
    else:
        bias, source = 2 ** (e - 1) - 1, f"bias 2^(e-1)-1, specials: {specials}"
    return FloatFormat(
        name=key, exponent_bits=e, mantissa_bits=m, bias=bias, specials=Specials(specials), source=source
    )


def _unknown(name: str, entries: Mapping[str, Entry], place: str) -> str:
    names = [*entries, *(alias for entry in entries.values() for alias in entry.aliases)]
    near = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    if place:
        return f"unknown format {name!r}{place}. {hint}It has {', '.join(entries) or 'none'}."
    return f"unknown format {name!r}. {hint}'fpsim formats' lists all; eXmY, intN and uintN build one."
