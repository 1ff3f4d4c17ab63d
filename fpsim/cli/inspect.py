"""``fpsim inspect``: how numbers round in number formats."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import click

from fpsim.cli.headline import label
from fpsim.cli.inspect_rows import Case, cases, numbers, record
from fpsim.cli.inspect_text import tables
from fpsim.cli.numbers import looks_negative
from fpsim.cli.options import Resolved, complete_format, format_options, resolve
from fpsim.cli.render import Column, Table, output_options, show
from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.label import label as full_label

_ROUNDINGS = [str(mode) for mode in Rounding if mode is not Rounding.STOCHASTIC]


def complete_formats(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the lists that begin so and end in a catalogue name, for shell completion."""
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in complete_format(ctx, param, last)]


def check_words(ctx: click.Context, param: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a word that looks like an option and is no negative number, before anything else is checked.

    Raises:
        click.NoSuchOption: there is one.
    """
    for word in words:
        if word.startswith("-") and word != "-" and not looks_negative(word):
            name = word.partition("=")[0]
            known = [text for option in ctx.command.params for text in option.opts if text.startswith("-")]
            raise click.NoSuchOption(name, possibilities=get_close_matches(name, known), ctx=ctx)
    return words


@click.command(
    # Negative numbers look like options to click: unknown words with a dash arrive as values, which are checked.
    context_settings={"ignore_unknown_options": True},
    epilog="Example: fpsim inspect 0.3 -1/3 2^-7 --format e2m1,e4m3,e5m2",
)
@click.argument("values", nargs=-1, required=True, metavar="VALUE...", is_eager=True, callback=check_words)
@click.option(
    "--format",
    "names",
    metavar="A,B,C",
    multiple=True,
    required=True,
    shell_complete=complete_formats,
    help="Number formats; 'fpsim formats' lists them.",
)
@format_options
@click.option("--rounding", default="ties-to-even", metavar="MODE", help=f"{', '.join(_ROUNDINGS)}.")
@click.option(
    "--overflow", type=click.Choice([str(o) for o in Overflow]), default="saturate", help="Beyond the largest value."
)
@click.option(
    "--nan", type=click.Choice([str(n) for n in NanPolicy]), default="keep", help="NaN in a format without one."
)
@output_options
def inspect(
    *,
    values: tuple[str, ...],
    names: tuple[str, ...],
    bias: float | None,
    specials: str | None,
    no_subnormals: bool,
    files: tuple[str, ...],
    rounding: str,
    overflow: str,
    nan: str,
    output: str,
) -> None:
    """Show how numbers round: code, value, error, neighbours, ulp.

    VALUE is 0.1, 1/3, 0x1.8p-3, 2^-126, 3*2^-130, inf, nan or -0; with - they are read from stdin. Each is taken
    exactly, never through a float, and rounded once.
    """
    how = Conversion(rounding=Rounding(_mode(rounding)), overflow=Overflow(overflow), nan=NanPolicy(nan))
    formats = [
        resolve(name, bias=bias, specials=specials, no_subnormals=no_subnormals, files=files) for name in split(names)
    ]
    found = cases(numbers(values, sys.stdin), formats, how)
    if output in ("json", "csv"):
        show(output, lambda: _machine(found), lambda: _machine(found), lambda: _document(found, formats, how))
        return
    for index, table in enumerate(tables(found, formats, how)):
        if index:
            click.echo()
        _show_human(output, table)


def _show_human(output: str, table: Table) -> None:
    show(output, lambda: table, lambda: table, dict)


def split(names: Sequence[str]) -> list[str]:
    """Return the names of lists with commas.

    Raises:
        FpsimError: an empty name.
    """
    found = [name.strip() for text in names for name in text.split(",")]
    if not all(found):
        raise FpsimError(f"--format {','.join(names)!r} has an empty name; write it as e2m1,e4m3")
    return list(dict.fromkeys(found))


def _mode(rounding: str) -> str:
    """The name of a rounding mode, refused here with the reason if it is none that can be inspected."""
    if rounding == Rounding.STOCHASTIC:
        raise FpsimError(f"stochastic rounding has no single result to inspect; choose one of {', '.join(_ROUNDINGS)}")
    return str(Conversion(rounding=rounding).rounding)  # type: ignore[arg-type]


def _machine(found: list[Case]) -> Table:
    records = [record(case) for case in found]
    columns = tuple(Column(name=name) for name in records[0])
    return Table(columns=columns, rows=[[_cell(value) for value in row.values()] for row in records])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _document(found: list[Case], formats: list[Resolved], how: Conversion) -> dict[str, Any]:
    return {
        "rounding": str(how.rounding),
        "overflow": str(how.overflow),
        "nan": str(how.nan),
        "formats": [_format(resolved) for resolved in formats],
        "rows": [record(case) for case in found],
    }


def _format(resolved: Resolved) -> dict[str, Any]:
    fmt = resolved.format
    scale = fmt.scale(64) if isinstance(fmt, FloatFormat) else 1.0
    return {"asked": resolved.asked, "format": label(resolved), "resolved": full_label(fmt), "scale": scale}
