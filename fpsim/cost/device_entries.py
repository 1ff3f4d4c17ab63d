"""A devices file as devices: tables, what they inherit, their other names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fpsim.cost.device import Device
from fpsim.cost.device_lines import line_of
from fpsim.cost.device_table import TableError, device, shown, texts
from fpsim.errors import FpsimError
from fpsim.number.user_files import parse_toml

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
#: Tables of a file, and tables between one and the first that it inherits from; nobody has as many.
_MOST_TABLES, _LONGEST_LINE_OF_HEIRS = 1000, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A device with its other names."""

    device: Device
    aliases: tuple[str, ...]


def read(text: str, file: str, inherited: Mapping[str, Entry]) -> dict[str, Entry]:
    """Return the devices of a TOML text by id.

    Args:
        text: the TOML document.
        file: what errors call it; the source of figures that name none.
        inherited: devices of other files that its tables may inherit from.

    Raises:
        FpsimError: it is malformed; names the file, the line where it can be found, the table and the key.
    """
    tables = parse_toml(text, file)
    if not 1 <= len(tables) <= _MOST_TABLES:
        raise FpsimError(f"{file}: it has {len(tables)} tables; a device is a table such as [my-gpu], 1 to 1000 a file")
    reader = _Reader(file=file, tables=tables, inherited=inherited)
    for name in tables:
        try:
            reader.entry(name, ())
        except TableError as error:
            line = line_of(text, (name, *error.path))
            place = f"{file}:{line}" if line else file
            raise FpsimError(f"{place}: [{name if name.isprintable() else shown(name)}]: {error}") from None
    return reader.entries


def lookup(name: str, entries: Mapping[str, Entry]) -> Entry | None:
    """Return the device of an id or an alias, or None; upper case, spaces and hyphens do not matter."""
    if name in entries:
        return entries[name]
    plain = plainly(name)
    ids = {plainly(key): entry for key, entry in entries.items()}
    aliases = {plainly(alias): entry for entry in entries.values() for alias in entry.aliases}
    every = aliases | ids
    short, at, mode = plain.partition("@")
    if at and short in aliases and plain not in every:  # a power mode of a device by its short name
        plain = plainly(f"{aliases[short].device.name}@{mode}")
    return every.get(plain)


def plainly(name: str) -> str:
    """Return what is left of a name where spelling does not matter."""
    return re.sub(r"[\s_-]", "", name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    """Reads tables in the order in which they inherit from each other."""

    file: str
    tables: Mapping[str, Any]
    inherited: Mapping[str, Entry]
    entries: dict[str, Entry] = field(default_factory=dict)

    def entry(self, name: str, heirs: tuple[str, ...]) -> Entry:
        """Return the device of a table; ``heirs`` are the tables that wait for it."""
        if name in self.entries:
            return self.entries[name]
        table = self.tables[name]
        if not isinstance(table, dict):
            raise TableError((), f"{shown(table)} is no table; a device is a table such as [my-gpu]")
        if not _ID.fullmatch(name):
            raise TableError((), "a device's name has letters, digits, '-', '.', '_' and '@' only, 64 at most")
        base = self._base(table["inherit"], (*heirs, name)) if "inherit" in table else None
        aliases = self._aliases(name, table.get("aliases", []))
        self.entries[name] = Entry(device=device(name, table, base, self.file), aliases=aliases)
        return self.entries[name]

    def _base(self, parent: Any, heirs: tuple[str, ...]) -> Device:
        if not isinstance(parent, str):
            raise TableError(("inherit",), f"{shown(parent)} is not the name of a device")
        if parent in self.tables and parent not in heirs and len(heirs) < _LONGEST_LINE_OF_HEIRS:
            try:
                return self.entry(parent, heirs).device
            except TableError as error:
                raise TableError(("inherit",), f"the table {parent!r} is wrong itself: {error}") from None
        found = lookup(parent, self.inherited)
        if found is not None and parent not in heirs[:-1]:  # [h100-sxm] may change the built-in h100-sxm
            return found.device
        if parent in self.tables:
            raise TableError(("inherit",), f"{' from '.join((*heirs, parent))} is a circle, or too long")
        names = [key for key in (*self.tables, *self.inherited) if _ID.fullmatch(key)]
        others = [alias for entry in self.inherited.values() for alias in entry.aliases]
        near = difflib.get_close_matches(parent.lower(), [*names, *others], 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise TableError(("inherit",), f"unknown device {shown(parent)}; {hint}")

    def _aliases(self, name: str, given: Any) -> tuple[str, ...]:
        aliases = texts(given, ("aliases",))
        for alias in aliases:
            if not _ID.fullmatch(alias):
                raise TableError(("aliases",), f"{shown(alias)} has other letters than a device's name may have")
            taken = [key for key in self.tables if key != name and plainly(key) == plainly(alias)]
            taken += [key for key, entry in self.entries.items() if plainly(alias) in map(plainly, entry.aliases)]
            if taken:
                raise TableError(("aliases",), f"{alias!r} is a name of {taken[0]!r} already")
        return aliases
