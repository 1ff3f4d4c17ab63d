"""What ``fpsim quantize`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fpsim.cli.facts import facts
from fpsim.cli.headline import label as short_label
from fpsim.cli.quantize_inputs import reasons
from fpsim.cli.quantize_measure import Errors, Result
from fpsim.cli.quantize_request import Request
from fpsim.cli.render import Column, Table, show
from fpsim.cli.values import json_value
from fpsim.number import BlockFormat
from fpsim.number.label import label
from fpsim.quant.packed_header import shown

_NEEDED, _OPTIONAL = ("tensor", "SQNR dB", "bytes"), ("max error", "saturated", "zeros", "shape", "dtype")
_HEADS = (*_NEEDED, *_OPTIONAL, "bytes before", "zeros before")
_ERRORS = tuple(field.name for field in fields(Errors))
_FIELDS = ("name", "shape", "dtype", "status", "copied_because", *_ERRORS, "bytes_before", "bytes_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over all tensors.

    Args:
        quantized: tensors.
        copied: tensors.
        values: in quantized tensors.
        packed_bytes: codes and scales of quantized tensors.
        bytes_before: sizes of the input files, headers included.
        bytes_after: size of the packed file, header included.
        out: where it was written.
    """

    quantized: int
    copied: int
    values: int
    packed_bytes: int
    bytes_before: int
    bytes_after: int
    out: Path | None

    @classmethod
    def of(cls, results: Sequence[Result], before: int, after: int, out: Path | None) -> Totals:
        """Return the sums of the results; ``before`` and ``after`` are sizes of files."""
        quantized = [result for result in results if result.errors is not None]
        return cls(
            quantized=len(quantized),
            copied=len(results) - len(quantized),
            values=sum(result.source.item.count for result in quantized),
            packed_bytes=sum(result.bytes_after for result in quantized),
            bytes_before=before,
            bytes_after=after,
            out=out,
        )

    @property
    def bits(self) -> float:
        """Bits a quantized value, its scales included."""
        return 8 * self.packed_bytes / self.values


def show_results(output: str, request: Request, results: Sequence[Result], totals: Totals) -> None:
    """Print the tensors and their totals to stdout."""
    show(
        output,
        lambda: _human(request, results, totals),
        lambda: _machine(results),
        lambda: _document(request, results, totals),
    )


def _human(request: Request, results: Sequence[Result], totals: Totals) -> Table:
    columns = tuple(
        Column(name=head, right=head not in ("tensor", "shape", "dtype"), optional=head not in _NEEDED)
        for head in _HEADS
    )
    last = ["total", "", f"{totals.bytes_after:,}", *[""] * 5, f"{totals.bytes_before:,}", ""]
    return Table(columns=columns, rows=[*map(_cells, results), last], comments=_comments(request, results, totals))


def _cells(result: Result) -> list[str]:
    item, errors = result.source.item, result.errors
    shape = "x".join(map(str, item.shape)) or "()"
    before, after = f"{result.bytes_before:,}", f"{result.bytes_after:,}"
    if errors is None:
        return [shown(item.name), "copied", after, "-", "-", "-", shape, shown(item.dtype), before, "-"]
    return [
        shown(item.name),
        f"{errors.sqnr_db:.2f}",
        after,
        f"{errors.max_abs_error:.3g}",
        _percent(errors.saturated),
        _percent(errors.sparsity_after),
        shape,
        item.dtype,
        before,
        _percent(errors.sparsity_before),
    ]


def _percent(fraction: float) -> str:
    if fraction in (0, 1):
        return f"{fraction:.0%}"
    return f"{100 * fraction:.2f}%" if 100 * fraction >= 0.01 else "<0.01%"


def _comments(request: Request, results: Sequence[Result], totals: Totals) -> tuple[str, ...]:
    copied = ", ".join(f"{count} {why}" for why, count in reasons(result.source for result in results).items())
    lines = [
        f"{_said(request)}; {request.how}",
        f"{totals.quantized} of {len(results)} tensors quantized" + (f"; copied: {copied}" if copied else ""),
        f"{totals.values:,} quantized values of {totals.bits:.2f} bits each, scales included",
        f"{totals.bytes_after:,} bytes instead of {totals.bytes_before:,} "
        f"({100 * totals.bytes_after / totals.bytes_before:.1f}%), "
        + (f"written to {totals.out}" if totals.out else "not written: no --out"),
    ]
    return tuple(lines)


def _said(request: Request) -> str:
    fmt = request.quantizer(2).format
    if isinstance(fmt, BlockFormat):
        return label(fmt)
    where = f"per {request.granularity}".replace(":", " of ")
    return f"{label(fmt)}, " + ("no scale" if request.scale == "none" else f"{where}, {request.scale} scale")


def _machine(results: Sequence[Result]) -> Table:
    rows = []
    for result in results:
        record = _record(result)
        record["shape"] = "x".join(map(str, record["shape"]))
        rows.append(["" if record[name] is None else str(record[name]) for name in _FIELDS])
    return Table(columns=tuple(Column(name=name) for name in _FIELDS), rows=rows)


def _record(result: Result) -> dict[str, Any]:
    item, errors = result.source.item, result.errors
    found = {name: None if errors is None else json_value(getattr(errors, name)) for name in _ERRORS}
    return {
        "name": item.name,
        "shape": list(item.shape),
        "dtype": item.dtype,
        "status": "copied" if errors is None else "quantized",
        "copied_because": result.source.reason,
        **found,
        "bytes_before": result.bytes_before,
        "bytes_after": result.bytes_after,
    }


def _document(request: Request, results: Sequence[Result], totals: Totals) -> dict[str, Any]:
    how = request.how
    block = isinstance(request.quantizer(2).format, BlockFormat)
    return {
        "format": {"asked": request.resolved.asked, **facts(request.resolved.format)},
        "quantization": {
            "label": short_label(request.resolved),
            "granularity": str(request.granularity),
            "scale": _said_rule(request) if block else request.scale,
            **{field.name: getattr(how, field.name) for field in fields(how)},
        },
        "tensors": [_record(result) for result in results],
        "total": {
            **{f.name: getattr(totals, f.name) for f in fields(totals) if f.name != "out"},
            "bits_per_value": totals.bits,
            "out": None if totals.out is None else str(totals.out),
        },
    }


def _said_rule(request: Request) -> str:
    fmt = request.quantizer(2).format
    return f"{fmt.scale.name}-{fmt.rule}"
