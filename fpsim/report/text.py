"""Users' texts (labels, layer names) made fit to be drawn."""

from __future__ import annotations

import textwrap


def printable(text: str) -> str:
    """The text with every control character replaced by a space.

    Args:
        text: anything a user typed.

    Returns:
        One line.

    >>> printable("int8\\nint8")
    'int8 int8'
    """
    return "".join(character if character.isprintable() else " " for character in text)


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines, broken at spaces and, where a word is too long, within it.

    Args:
        text: anything a user typed.
        width: the most characters a line.

    Returns:
        At least one line, none of them empty.

    >>> wrapped("attention only", 9)
    ['attention', 'only']
    """
    return textwrap.wrap(printable(text), width, break_on_hyphens=False) or [" "]
