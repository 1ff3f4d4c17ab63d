"""Devices by name: the built-in ones and those of the user's TOML files."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from fpsim.cost.device import Device
from fpsim.cost.device_entries import Entry, lookup, read
from fpsim.errors import FpsimError
from fpsim.number.user_files import read_text

#: The built-in devices.
BUILTIN = Path(__file__).with_name("devices.toml")


def find(name: str, files: Sequence[str] = ()) -> Device:
    """Return the device of a name; upper case, spaces and hyphens do not matter.

    Args:
        name: an id such as ``h100-sxm`` or ``orin-agx@30w`` (a power mode), or an alias such as ``h100``.
        files: the user's devices files; their names come before the built-in ones, later files before earlier ones.

    Raises:
        FpsimError: no device has the name (lists those that there are), or a file is malformed.

    >>> find("h100").peaks["fp8"].dense.value / 1e12
    1978.9
    """
    catalogues = _catalogues(files)
    for entries in catalogues:
        found = lookup(name, entries)
        if found:
            return found.device
    names = [alias for entries in catalogues for key, entry in entries.items() for alias in (key, *entry.aliases)]
    near = difflib.get_close_matches(name.strip().lower(), names, 1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise FpsimError(
        f"unknown device {name!r}.{hint} Known: {', '.join(_ids(catalogues))}; "
        "another one is a table of a TOML file of yours, given with --devices"
    )


def known(files: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the ids of all devices, the user's first.

    Args:
        files: the user's devices files.

    Raises:
        FpsimError: a file is malformed.
    """
    return _ids(_catalogues(files))


def _ids(catalogues: Sequence[dict[str, Entry]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(key for entries in catalogues for key in entries))


def _catalogues(files: Sequence[str]) -> list[dict[str, Entry]]:
    mine = [read(read_text(str(file), "devices file"), str(file), _builtin()) for file in reversed(files)]
    return [*mine, _builtin()]


@lru_cache(maxsize=1)
def _builtin() -> dict[str, Entry]:
    return read(BUILTIN.read_text(encoding="utf-8"), BUILTIN.name, {})
