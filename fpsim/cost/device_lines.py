"""Where a key stands in a TOML text: errors about a table name the line."""

from __future__ import annotations

import re

_HEADER = re.compile(r"\s*\[+(.+?)\]+\s*(?:#.*)?")
_PART = re.compile(r"""("[^"]*"|'[^']*'|[^."'\s]+)""")
#: Longer lines are nobody's table header.
_LONGEST = 500


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """Return the number of the line that defines a key, or the nearest table around it; None if neither is found.

    Written for tables as people write them: a header or a key starts its line. A key inside an inline table is found
    as far as the line on which that table starts.

    Args:
        text: the TOML document.
        path: names from the outermost table inwards.

    >>> line_of("# mine\\n[a]\\nb = 1\\n[a.peaks]\\nfp8 = 2\\n", ("a", "peaks", "fp8"))
    5
    """
    best, deepest = None, 0
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _LONGEST or line.lstrip().startswith("#"):
            continue
        if header := _HEADER.fullmatch(line):
            found = table = _names(header[1])
        elif "=" in line:
            found = table + _names(line.partition("=")[0])
        else:
            continue
        if deepest < len(found) <= len(path) and path[: len(found)] == found:
            best, deepest = number, len(found)
    return best


def _names(text: str) -> tuple[str, ...]:
    """The parts of a dotted key."""
    return tuple(part.strip("\"'") for part in _PART.findall(text))
