"""``fpsim formats``: the catalogue, or one format in full."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click

from fpsim.cli.describe import aliases, catalogue, fact_text, namesakes, notes
from fpsim.cli.facts import facts
from fpsim.cli.headline import label
from fpsim.cli.options import Resolved, complete_format, format_options, resolve
from fpsim.cli.render import Column, Table, output_options, show
from fpsim.cli.values import decimal_text, exact_text
from fpsim.errors import FpsimError
from fpsim.number.catalogue import Entry

_FAMILIES = (
    ("eXmY", "1 <= X <= 8, X + Y <= 15: all-finite, bias 2^(X-1)-1; or -ieee, -fn, -fnuz"),
    ("chen-eXmY", "as Chen et al. 2024 have them: all-finite, bias 2^(X-1)"),
    ("binaryKpPse", "P3109 draft: 3 <= K <= 16 bits, precision P, s or u (unsigned), e (with Inf) or f (finite)"),
    ("intN", "2 <= N <= 16, symmetric; intN-full with -2^(N-1); uintN unsigned"),
    ("BLOCK-RULE", "other scale rule: floor, ceil, even or rceil, as in mxfp4-even"),
    ("FILE#NAME", "of your own TOML file; --formats-file FILE adds all its names"),
)
_HEADS = ("name", "bits", "kind", "e", "m", "bias", "specials", "max", "aliases", "source")
_COMPARED = ("name", "bias", "specials", "max")


@click.command(epilog="Example: fpsim formats e4m3")
@click.argument("name", required=False, shell_complete=complete_format)
@format_options
@output_options
def formats(
    *,
    name: str | None,
    bias: float | None,
    specials: str | None,
    no_subnormals: bool,
    files: tuple[str, ...],
    output: str,
) -> None:
    """List the number formats, or describe one completely."""
    if name is not None:
        resolved = resolve(name, bias=bias, specials=specials, no_subnormals=no_subnormals, files=files)
        _show_one(resolved, files, output)
    elif bias is not None or specials is not None or no_subnormals:
        raise FpsimError(
            "--bias, --specials and --no-subnormals change one format; name it, as in: fpsim formats e2m1 --bias 3"
        )
    else:
        _show_all(files, output)


def _show_all(files: tuple[str, ...], output: str) -> None:
    entries = catalogue(files)
    right = {"bits", "e", "m", "bias", "max"}
    columns = tuple(Column(name=h, right=h in right, optional=h in ("aliases", "source")) for h in _HEADS)
    families = tuple(f"{pattern:<{max(len(p) for p, _ in _FAMILIES)}}  {text}" for pattern, text in _FAMILIES)
    comments = ("Families of names beside those below:", *families)
    document = {
        "families": [{"pattern": pattern, "means": text} for pattern, text in _FAMILIES],
        "formats": [{**facts(entry.format), "aliases": list(entry.aliases)} for entry in entries],
    }

    def listing(number: Callable[[Fraction], str]) -> Table:
        return Table(columns=columns, rows=[_list_cells(entry, number) for entry in entries], comments=comments)

    show(output, lambda: listing(decimal_text), lambda: listing(exact_text), lambda: document)


def _list_cells(entry: Entry, number: Callable[[Fraction], str]) -> list[str]:
    known = facts(entry.format)
    fields = [str(known.get(key, "-")) for key in ("exponent_bits", "mantissa_bits", "bias", "specials")]
    largest = number(Fraction(known["max"])) if "max" in known else "-"
    other_names = ", ".join(entry.aliases) or "-"
    return [known["name"], f"{known['bits']:g}", known["kind"], *fields, largest, other_names, known["source"]]


def _show_one(resolved: Resolved, files: tuple[str, ...], output: str) -> None:
    others = namesakes(resolved.format, files)
    record: dict[str, Any] = {"asked": resolved.asked, "resolved": label(resolved), **facts(resolved.format)}
    record["aliases"] = list(aliases(resolved, files))
    cells = [(key, fact_text(key, value)) for key, value in record.items()]
    human = Table(columns=(Column(name="fact"), Column(name="value")), rows=cells, comments=notes(resolved, others))
    document = {**record, "same_fields": [{key: facts(other)[key] for key in _COMPARED} for other in others]}
    show(output, lambda: human, lambda: human, lambda: document)
