"""Reads formats from TOML: the built-in catalogue and the user's own files.

A table is a format; ``kind`` is ``float`` (default), ``int``, ``codebook`` or ``block``, the other keys are
the fields of the format's class. ``check`` holds values that must follow from the facts.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, Format, IntFormat, ScaleRule, Specials
from fpsim.number.user_files import parse_toml, read_text

KINDS: dict[str, type] = {"float": FloatFormat, "int": IntFormat, "codebook": CodebookFormat, "block": BlockFormat}
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("exponent_bits", "mantissa_bits", "bits", "fraction_bits", "block"), (int,)),
    **dict.fromkeys(("signed", "subnormals", "zero", "full", "tensor_scale"), (bool,)),
    **dict.fromkeys(("specials", "rule", "source"), (str,)),
    **dict.fromkeys(("element", "scale"), (str,)),
    "bias": (int, float),
    "values": (list,),
    "aliases": (list,),
    "check": (dict,),
}
_CHOICES: dict[str, tuple[str, ...]] = {"specials": tuple(Specials), "rule": tuple(ScaleRule)}
_ITEMS: dict[str, tuple[type, ...]] = {"values": (int, float), "aliases": (str,)}
#: Of the longest number in ``check``; what follows from a format is shorter.
_DIGITS = 5000
Resolve = Callable[[str], Format]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A format of a catalogue with its other names and its check values."""

    format: Format
    aliases: tuple[str, ...]
    check: Mapping[str, Any]


def read(text: str, file: str, resolve: Resolve) -> dict[str, Entry]:
    """Return the formats of a TOML text by name.

    Args:
        text: the TOML document.
        file: what errors call it.
        resolve: finds the element and scale formats that a block format names elsewhere.

    Raises:
        FpsimError: malformed TOML, an unknown key, a wrong type or value; names the file, the table and the key.
    """
    tables = parse_toml(text, file)
    entries: dict[str, Entry] = {}

    def local(name: str) -> Format:
        return entries[name].format if name in entries else resolve(name)

    for name, table in tables.items():
        if not isinstance(table, dict):
            raise FpsimError(f"{file}: key {name!r} is outside a table; a format is a table such as [{name}]")
        try:
            entries[name] = _entry(name, dict(table), local)
        except FpsimError as error:
            raise FpsimError(f"{file}: [{name}]: {error}") from None
    return entries


def _entry(name: str, table: dict[str, Any], resolve: Resolve) -> Entry:
    kind = table.pop("kind", "float")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FpsimError(f"key 'kind': {kind!r} is not one of {', '.join(KINDS)}")
    cls = KINDS[kind]
    _check_keys(kind, {f.name for f in fields(cls)} - {"name"} | {"aliases", "check"}, table)
    aliases, check = tuple(table.pop("aliases", ())), table.pop("check", {})
    missing = [f.name for f in fields(cls) if f.name != "name" and f.name not in table and not _has_default(f)]
    if missing:
        raise FpsimError(f"key {missing[0]!r} is missing")
    if kind == "block":
        table |= {key: _part(key, table[key], resolve) for key in ("element", "scale")}
    try:
        fmt = cls(name=name, **table)
    except FpsimError:
        raise
    except (ValueError, TypeError) as error:
        raise FpsimError(str(error)) from None
    entry = Entry(format=fmt, aliases=aliases, check=check)
    verify(entry)
    return entry


def _check_keys(kind: str, known: set[str], table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"a {kind} format has {', '.join(sorted(known))}"
            raise FpsimError(f"unknown key {key!r}; {hint}")
        items: list[Any] = value if isinstance(value, list) else [value]
        if not isinstance(value, _TYPES[key]) or (isinstance(value, bool) and _TYPES[key] != (bool,)):
            raise FpsimError(f"key {key!r}: {value!r} should be of type {_TYPES[key][-1].__name__}")
        if key in _CHOICES and value not in _CHOICES[key]:
            raise FpsimError(f"key {key!r}: {value!r} is not one of {', '.join(_CHOICES[key])}")
        if key in _ITEMS and not all(isinstance(v, _ITEMS[key]) and not isinstance(v, bool) for v in items):
            raise FpsimError(f"key {key!r}: it should be a list of {'strings' if key == 'aliases' else 'numbers'}")
        if any(isinstance(v, int) and abs(v) > sys.float_info.max for v in items):
            raise FpsimError(f"key {key!r}: a number is beyond float64")


def _part(key: str, name: str, resolve: Resolve) -> Format:
    try:
        part = resolve(name)
    except FpsimError as error:
        raise FpsimError(f"key {key!r}: {error}") from None
    if isinstance(part, BlockFormat) or (key == "scale" and not isinstance(part, FloatFormat)):
        wanted = "a floating-point format" if key == "scale" else "a format of single elements"
        raise FpsimError(f"key {key!r}: {name!r} is not {wanted}")
    return part


def _has_default(f: Any) -> bool:
    from dataclasses import MISSING

    return f.default is not MISSING or f.default_factory is not MISSING


def verify(entry: Entry) -> None:
    """Compare an entry's check values with what follows from its facts.

    Raises:
        FpsimError: one differs, or names no property.
    """
    for key, expected in entry.check.items():
        actual = getattr(entry.format, key, None)
        if not isinstance(actual, int | float | Fraction):
            raise FpsimError(f"check {key!r} is not a number that follows from the format")
        if Fraction(actual) != fraction(str(expected)):
            raise FpsimError(f"check {key} = {expected} contradicts the other keys, which give {Fraction(actual)}")


def fraction(text: str) -> Fraction:
    """Parse ``3/2``, ``448``, ``0.5`` or ``2^-126``.

    Raises:
        FpsimError: the text is none of these.
    """
    try:
        base, _, exponent = text.partition("^")
        if len(text) > _DIGITS or abs(int(base.lower().partition("e")[2] or 0)) > _DIGITS:
            raise ValueError  # Fraction("1e999999999") would compute all its digits
        number, power = Fraction(base), int(exponent or 1)
        if abs(power) * (number.numerator.bit_length() + number.denominator.bit_length()) > 64 * _DIGITS:
            raise ValueError
        return number**power
    except (ValueError, ZeroDivisionError):
        raise FpsimError(f"{text!r} is not a number; write 3/2, 448 or 2^-126") from None


@lru_cache(maxsize=1)
def builtin() -> dict[str, Entry]:
    """Return the built-in catalogue by name, in the order of its files."""
    from fpsim.number.names import find

    place = folder()
    entries: dict[str, Entry] = {}
    # Files of elements first: block formats refer to them.
    for file in ("ocp", "ieee", "fnuz", "p3109", "chen2024", "integers", "codebooks", "blocks"):
        text = (place / f"{file}.toml").read_text(encoding="utf-8")
        entries |= read(text, f"formats/{file}.toml", partial(find, entries=entries))
    return entries


def folder() -> Path:
    """Where the catalogue's files lie, installed or in a checkout."""
    try:  # not importlib.resources, whose import alone costs a sixth of `fpsim table`
        return Path(str(import_module("fpsim._formats").__file__)).parent
    except ModuleNotFoundError:  # an uninstalled checkout: the folder lies beside the package
        return Path(__file__).resolve().parents[2] / "formats"


@lru_cache(maxsize=16)
def from_file(path: str) -> dict[str, Entry]:
    """Return the formats of the user's TOML file.

    Raises:
        FpsimError: the file cannot be read or is malformed.
    """
    from fpsim.number.names import find

    return read(read_text(path, "formats file"), path, lambda name: find(name, builtin()))
