"""``fpsim compare`` for the eye: a table of what the formats can represent, and one of what they make of the data."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from textwrap import wrap

from fpsim.cli.compare_data import about, is_drawn
from fpsim.cli.compare_rows import Row
from fpsim.cli.headline import label as short_label
from fpsim.cli.numbers import digits
from fpsim.cli.render import Column, Table
from fpsim.number import BlockFormat, FloatFormat, IntFormat
from fpsim.number.label import label

_NONE = "-"
_LEFT = ("format",)
_WIDTH = 78


def abilities(rows: Sequence[Row]) -> Table:
    """Return the table of what the formats can represent."""
    heads = ("format", "bits", "e", "m", "bias", "subn.", "normal", "max", "range", "digits", "[0,1)", "wasted")
    comments = [line for row in rows for line in wrap(label(row.resolved.format), _WIDTH, subsequent_indent="  ")]
    comments.append("subn., normal: smallest positive values; range: binades from smallest to max")
    comments.append("[0,1): values in it at scale 1; wasted: codes of -0 or of no finite value")
    if any(isinstance(row.resolved.format, BlockFormat) for row in rows):
        comments.append("block formats: bits with the block's scale, all else of the elements")
    return Table(columns=_columns(heads), rows=[_able(row) for row in rows], comments=tuple(comments))


def _able(row: Row) -> tuple[str, ...]:
    able = row.able
    return (
        short_label(row.resolved),
        f"{able.bits:g}",
        _plain(able.exponent_bits),
        _plain(able.mantissa_bits),
        _plain(able.bias),
        _number(able.min_subnormal),
        _number(able.min_normal),
        _number(able.max),
        _NONE if able.binades is None else f"{able.binades:.1f}",
        _NONE if able.digits is None else f"{able.digits:.1f}",
        str(able.unit_codes),
        str(able.wasted),
    )


def fits(rows: Sequence[Row], data: str, samples: int, seed: int) -> Table:
    """Return the table of what the formats make of the data."""
    several = len(rows[0].results) > 1
    heads = ("format", "SQNR dB", *(("worst",) if several else ()), "scale", "clips at", "saturated", "to zero")
    return Table(
        columns=_columns(heads),
        rows=[_fit(row, several) for row in rows],
        comments=_data_comments(rows, data, samples, seed),
    )


def _data_comments(rows: Sequence[Row], data: str, samples: int, seed: int) -> tuple[str, ...]:
    results = rows[0].results
    count = f"{sum(result.values for result in results):,} values"
    if len(results) > 1:
        count += f" in {len(results)} tensors"
    formats = [row.resolved.format for row in rows]
    lines = [f"{about(data)}: {count}" + (f", seed {seed}" if is_drawn(data) else "")]
    lines.append("scale: one a tensor, of least squared error, searched wherever it can lie")
    if any(isinstance(fmt, FloatFormat) for fmt in formats):
        lines.append("floats: of scales 2^k apart that are as good (0.001 dB), the one nearest 1")
    lines.append("saturated: beyond the largest value at that scale; to zero: became 0")
    if any(result.values > samples for result in results):
        lines.append(f"larger tensors: the scale is searched on {samples:,} of the values, seed {seed}")
    if any(isinstance(fmt, IntFormat) and not fmt.signed for fmt in formats):
        lines.append("unsigned integers: scale and zero point, the best of rule mse's 111")
    if any(isinstance(fmt, BlockFormat) for fmt in formats):
        lines.append("block formats: their own scales, along the last axis (axis 1 of 4 and more)")
    return tuple(lines)


def _fit(row: Row, several: bool) -> tuple[str, ...]:
    worst = (f"{min(result.sqnr_db for result in row.results):.2f}",) if several else ()
    return (
        short_label(row.resolved),
        f"{row.sqnr_db:.2f}",
        *worst,
        _span([result.scale for result in row.results]),
        _span([result.clips_at for result in row.results]),
        _percent(row.part("saturated")),
        _percent(row.part("zeroed")),
    )


def _columns(heads: Sequence[str]) -> tuple[Column, ...]:
    return tuple(Column(name=head, right=head not in _LEFT) for head in heads)


def _plain(value: float | None) -> str:
    return _NONE if value is None else str(value)


def _number(value: Fraction | None) -> str:
    """A power of two below 1/2 as such, everything else as a decimal of four digits."""
    if value is None:
        return _NONE
    if value.numerator == 1 and value.denominator.bit_count() == 1 and value.denominator > 2:
        return f"2^-{value.denominator.bit_length() - 1}"
    return str(value) if value.denominator == 1 and value < 10**6 else digits(value, 4)


def _span(values: Sequence[float | None]) -> str:
    """One number, or the least and the greatest of several."""
    known = [value for value in values if value is not None]
    if not known:
        return _NONE
    ends = dict.fromkeys(digits(Fraction(value), 4) for value in (min(known), max(known)))
    return "..".join(ends)


def _percent(part: float) -> str:
    """A part in percent of three digits; ``0`` only where there is none."""
    return "0" if part == 0 else f"{100 * part:.3g}%"
