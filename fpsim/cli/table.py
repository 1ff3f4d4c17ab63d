"""``fpsim table``: every code of one number format."""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.facts import facts
from fpsim.cli.headline import headline, label
from fpsim.cli.options import Resolved, format_option, format_options, resolve
from fpsim.cli.render import Column, Table, output_options, show
from fpsim.cli.table_rows import Row, rows, select
from fpsim.cli.values import code_text, exact_text, json_value, short_text, value_text, working_width
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, ElementFormat, FloatFormat

_FLOAT = ("code", "sign", "exponent_field", "mantissa_field", "class", "exp", "significand", "value", "exact", "ulp")
_PLAIN = ("code", "value", "exact")


@click.command(epilog="Example: fpsim table --format e2m1 --bias 3")
@format_option(required=True)
@format_options
@click.option("--positive", is_flag=True, help="Leave out the negative half.")
@click.option("--range", "span", metavar="A:B", help="Codes A to B - 1, decimal or 0x; needed beyond 4,096 codes.")
@output_options
def table(
    *,
    name: str,
    bias: float | None,
    specials: str | None,
    no_subnormals: bool,
    files: tuple[str, ...],
    positive: bool,
    span: str | None,
    output: str,
) -> None:
    """Show every code of a number format.

    A row a code: its fields, class, exponent, significand in binary, value, exact value and ulp. A real bias,
    such as --bias 2.7, is an integer-bias grid times a scale; the header names both.
    """
    resolved = resolve(name, bias=bias, specials=specials, no_subnormals=no_subnormals, files=files)
    fmt = resolved.format
    if isinstance(fmt, BlockFormat):
        raise FpsimError(
            f"{fmt.name} is a block format: what a code means depends on its block's scale; table its element, "
            f"--format {fmt.element.name}, or its scale, --format {fmt.scale.name}"
        )
    width = working_width(fmt)
    found = rows(fmt, select(fmt, span, positive), width)
    show(
        output,
        lambda: _human(fmt, found, headline(resolved, fmt, width), width),
        lambda: _machine(fmt, found, label(resolved)),
        lambda: _document(resolved, found),
    )


def _human(fmt: ElementFormat, found: list[Row], comments: tuple[str, ...], width: int) -> Table:
    plain = ("code", "bits", "value", "exact")
    fields = ("class", "exp", "significand", "value", "exact", "ulp")
    heads = ("code", _field_head(fmt), *fields) if isinstance(fmt, FloatFormat) else plain
    columns = tuple(Column(name=head, right=head in ("exp", "significand", "value")) for head in heads)
    return Table(columns=columns, rows=[_cells(fmt, row, width) for row in found], comments=comments)


def _field_head(fmt: FloatFormat) -> str:
    parts = ("s" * fmt.signed, "e" * fmt.exponent_bits, "m" * fmt.mantissa_bits)
    return " ".join(part for part in parts if part)


def _cells(fmt: ElementFormat, row: Row, width: int) -> tuple[str, ...]:
    code, bits, exact = code_text(row.code, fmt.bits), f"{row.code:0{fmt.bits}b}", short_text(row.exact)
    fields = row.fields
    if fields is None or not isinstance(fmt, FloatFormat):
        return code, bits, value_text(row.value), exact
    sign, point = int(fmt.signed), int(fmt.signed) + fmt.exponent_bits
    return (
        code,
        " ".join(part for part in (bits[:sign], bits[sign:point], bits[point:]) if part),
        fields.kind,
        "-" if fields.exponent is None else str(fields.exponent),
        fields.significand or "-",
        value_text(row.value, rounded=width == 32 and fmt.scale() != 1),
        exact,
        "-" if fields.ulp is None else short_text(fields.ulp),
    )


def _machine(fmt: ElementFormat, found: list[Row], name: str) -> Table:
    names = _FLOAT if isinstance(fmt, FloatFormat) else _PLAIN
    cells = [[name, *("" if value is None else str(value) for value in _record(row, names))] for row in found]
    return Table(columns=tuple(Column(name=head) for head in ("format", *names)), rows=cells)


def _record(row: Row, names: tuple[str, ...]) -> list[Any]:
    known: dict[str, Any] = {"code": row.code, "value": json_value(row.value), "exact": exact_text(row.exact)}
    if row.fields is not None:
        fields = row.fields
        known |= {
            "sign": fields.sign,
            "exponent_field": fields.exponent_field,
            "mantissa_field": fields.mantissa_field,
            "class": fields.kind,
            "exp": fields.exponent,
            "significand": fields.significand,
            "ulp": None if fields.ulp is None else exact_text(fields.ulp),
        }
    return [known[name] for name in names]


def _document(resolved: Resolved, found: list[Row]) -> dict[str, Any]:
    fmt = resolved.format
    names = (
        tuple(n for n in _FLOAT if n not in ("exp", "significand", "ulp")) if isinstance(fmt, FloatFormat) else _PLAIN
    )
    record = {"asked": resolved.asked, **facts(fmt)}
    if isinstance(fmt, FloatFormat) and isinstance(resolved.standard, FloatFormat):
        record["standard_bias"] = resolved.standard.bias
    return {"format": record, "rows": [dict(zip(names, _record(row, names), strict=True)) for row in found]}
