"""Results as text: aligned tables without borders, CSV, JSON and Markdown. Pure, but for :func:`show`."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import click

from fpsim.errors import FpsimError

_OUTPUTS = ("json", "csv", "markdown")
_GAP = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its heading, whether it aligns right, whether a narrow terminal may do without it."""

    name: str
    right: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells under columns, after comment lines (without their ``#``)."""

    columns: tuple[Column, ...]
    rows: Sequence[Sequence[str]]
    comments: tuple[str, ...] = ()


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--json``, ``--csv`` and ``--markdown``; it receives the choice, or "text", as ``output``."""

    @functools.wraps(command)
    def wrapper(**values: Any) -> Any:
        chosen = [name for name in _OUTPUTS if values.pop(f"as_{name}")]
        if len(chosen) > 1:
            raise FpsimError(f"--{chosen[0]} and --{chosen[1]} exclude each other; give one of them")
        return command(output=chosen[0] if chosen else "text", **values)

    for name in reversed(_OUTPUTS):
        label = name if name == "markdown" else name.upper()
        wrapper = click.option(f"--{name}", f"as_{name}", is_flag=True, help=f"Print {label}.")(wrapper)
    return wrapper


def show(
    output: str, human: Callable[[], Table], machine: Callable[[], Table], document: Callable[[], Mapping[str, Any]]
) -> None:
    """Print a result to stdout; of the three views only the wanted one is made.

    Args:
        output: ``text``, ``json``, ``csv`` or ``markdown``.
        human: what text and Markdown show.
        machine: what CSV holds; its comments are not printed.
        document: what JSON holds.
    """
    if output == "json":
        text = json_text(document())
    elif output == "csv":
        text = csv_text(machine())
    elif output == "markdown":
        text = markdown_text(human())
    elif sys.stdout.isatty():
        color = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        text = plain_text(human(), width=shutil.get_terminal_size().columns, dim=color)
    else:
        text = plain_text(human())
    sys.stdout.write(text)


def plain_text(table: Table, *, width: int | None = None, dim: bool = False) -> str:
    """Return aligned columns without borders; nothing is ever cut or wrapped.

    Args:
        table: what to show.
        width: of the terminal; optional columns, the last first, are left out until the lines fit.
        dim: whether comment lines are dim.
    """
    comments = [f"# {line}" for line in table.comments]
    hidden: list[str] = []
    while width is not None and table.columns[-1].optional and _width(table) > width:
        hidden.insert(0, table.columns[-1].name)
        table = replace(table, columns=table.columns[:-1], rows=[row[:-1] for row in table.rows])
    if hidden:
        comments.append(f"# left out for want of width: {', '.join(hidden)}")
    if dim:
        comments = [f"\x1b[2m{line}\x1b[0m" for line in comments]
    lines = [[column.name for column in table.columns], *table.rows]
    widths = _widths(table)
    body = (
        _GAP.join(
            cell.rjust(size) if column.right else cell.ljust(size)
            for cell, size, column in zip(line, widths, table.columns, strict=True)
        ).rstrip()
        for line in lines
    )
    return _joined([*comments, *body])


def csv_text(table: Table) -> str:
    """Return RFC 4180 fields with plain line ends, the column names first."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(table.rows)
    return text.getvalue()


def markdown_text(table: Table) -> str:
    """Return a Markdown table after the comment lines, each a paragraph."""
    heads = [column.name for column in table.columns]
    rules = ["--:" if column.right else ":--" for column in table.columns]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (heads, rules, *table.rows)]
    return _joined([line for comment in table.comments for line in (comment.strip(), "")] + lines)


def json_text(document: Mapping[str, Any]) -> str:
    """Return strict JSON (NaN and infinities are refused); a list of objects has one a line."""
    import json

    def member(value: Any) -> str:
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return "[\n" + ",\n".join("    " + json.dumps(item, allow_nan=False) for item in value) + "\n  ]"
        return json.dumps(value, allow_nan=False)

    return "{\n" + ",\n".join(f"  {json.dumps(key)}: {member(value)}" for key, value in document.items()) + "\n}\n"


def _widths(table: Table) -> list[int]:
    cells = zip(*([column.name for column in table.columns], *table.rows), strict=True)
    return [max(map(len, column)) for column in cells]


def _width(table: Table) -> int:
    return sum(_widths(table)) + len(_GAP) * (len(table.columns) - 1)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
