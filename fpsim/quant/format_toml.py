"""Formats as keys of a policy's TOML: by name where there is one, otherwise as a table of their facts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, Format
from fpsim.number.catalogue import KINDS, read
from fpsim.number.names import format as resolve

_BARE = re.compile("[A-Za-z0-9_-]+")
_CONTROL = re.compile(r'[\x00-\x1f\x7f"\\]')


class Definitions:
    """The tables ``[formats.NAME]`` of a policy: formats that no name, with or without changes, stands for."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, Any]] = {}
        self._formats: dict[str, Format] = {}

    def keys(self, fmt: Format) -> dict[str, Any]:
        """Return the keys by which a rule names a format: ``format``, and what differs from the format of that name."""
        if _named(fmt.name) == fmt:
            return {"format": fmt.name}
        if isinstance(fmt, FloatFormat):
            base = _named(f"e{fmt.exponent_bits}m{fmt.mantissa_bits}-{fmt.specials}")
            if isinstance(base, FloatFormat) and (fmt.signed, fmt.zero) == (base.signed, base.zero):
                changes = {key: getattr(fmt, key) for key in ("bias", "subnormals")}
                return {"format": base.name} | {k: v for k, v in changes.items() if v != getattr(base, k)}
        if isinstance(fmt, CodebookFormat):
            return {"format": list(fmt.values)}
        return {"format": self._define(fmt)}

    def _define(self, fmt: Format) -> str:
        if _named(fmt.name) == fmt:
            return fmt.name
        kind = next(kind for kind, cls in KINDS.items() if isinstance(fmt, cls))
        facts = {f.name: getattr(fmt, f.name) for f in fields(fmt) if f.name not in ("name", "source")}
        if isinstance(fmt, BlockFormat):  # its parts come first
            facts |= {key: self._define(facts[key]) for key in ("element", "scale")}
        name, number = fmt.name, 1
        while self._formats.get(name, fmt) != fmt or _named(name) is not None:
            number += 1
            name = f"{fmt.name}-{number}"
        if name not in self._formats:
            self._formats[name], self.tables[name] = fmt, {"kind": kind, **facts}
        return name

    def __str__(self) -> str:
        return "".join(_table(f"formats.{_key(name)}", table) + "\n" for name, table in self.tables.items())


def _named(name: str) -> Format | None:
    try:
        return resolve(name)
    except FpsimError:
        return None


def read_definitions(tables: Any, file: str) -> Mapping[str, Format]:
    """Return the formats of a policy's tables ``[formats.NAME]``, with the keys of a formats file.

    Raises:
        FpsimError: as :func:`fpsim.number.catalogue.read`.
    """
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise FpsimError(f"{file}: 'formats' holds tables such as [formats.mine]")
    try:
        document = "\n".join(_table(_key(name), table) for name, table in tables.items())
    except FpsimError as error:
        raise FpsimError(f"{file}: formats: {error}") from None
    return {name: entry.format for name, entry in read(document, f"{file}: formats", resolve).items()}


def read_format(table: Mapping[str, Any], mine: Mapping[str, Format], files: Sequence[str]) -> Format:
    """Return the format of a rule's keys: ``format`` with its changes.

    Args:
        table: ``format`` (a name or a list of values), perhaps ``bias``, ``specials`` and ``subnormals``.
        mine: the policy's own formats.
        files: the user's TOML files of formats.

    Raises:
        FpsimError: a key of the wrong type, or no such format.
    """
    name = table["format"]
    if isinstance(name, list):
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in name):
            raise FpsimError("key 'format': a list of values holds numbers only")
    elif not isinstance(name, str):
        raise FpsimError(f"key 'format': {name!r} is neither a name nor a list of values")
    changes: dict[str, Any] = {}
    for key, kinds, wanted in (
        ("bias", (int, float), "a number"),
        ("specials", (str,), "text"),
        ("subnormals", (bool,), "true or false"),
    ):
        value = table.get(key)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise FpsimError(f"key {key!r}: {value!r} is not {wanted}")
        changes[key] = value
    return resolve(mine.get(name, name) if isinstance(name, str) else name, **changes, files=files)


def _table(name: str, table: Mapping[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{_key(key)} = {inline(value)}" for key, value in table.items())]) + "\n"


def inline(value: Any) -> str:
    """Return a value of TOML on one line.

    Raises:
        FpsimError: a date or a time, which no key takes.
    """
    if isinstance(value, str):
        return text(str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(int(value) if isinstance(value, int) else float(value))  # NumPy's numbers say their type
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {inline(item)}" for key, item in value.items()) + " }"
    raise FpsimError(f"{value!r} is a {type(value).__name__}, which no key takes")


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else text(name)


def text(value: str) -> str:
    """Return a TOML string."""
    return '"' + _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", value) + '"'
