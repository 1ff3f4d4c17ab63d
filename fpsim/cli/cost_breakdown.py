"""One denoising step by class of operation or by layer, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fpsim.cli.cost_rows import headline, identity, three
from fpsim.cli.render import Column, Table
from fpsim.cost.result import Estimate, Row

_LEFT = ("device", "class", "layer", "waits for")


def breakdown_human(found: Sequence[Estimate], by: str) -> Table:
    """Return rows of devices and batches under one another, columns that never change left out."""
    batches = {item.images for item in found}
    several = len(found) > 1
    names = [*(["device"] if several else []), *(["batch"] if len(batches) > 1 else []), by]
    numbers = ["ms", "share", "bound ms", "GFLOP", "MB", "waits for"]
    rows = []
    for item, row in _rows(found, by):
        head = [item.device.name] * several + [str(item.images)] * (len(batches) > 1)
        rows.append([*head, row.name, *_cells(row)])
    columns = tuple(Column(name=name, right=name not in _LEFT) for name in (*names, *numbers))
    return Table(columns=columns, rows=rows, comments=headline(found))


def breakdown_machine(found: Sequence[Estimate], by: str) -> Table:
    """Return every number of every row."""
    records = list(_records(found, by))
    names = tuple(records[0])
    return Table(
        columns=tuple(Column(name=name) for name in names), rows=[[str(row[name]) for name in names] for row in records]
    )


def breakdown_document(found: Sequence[Estimate], by: str) -> dict[str, Any]:
    """Return what JSON holds."""
    notes = list(dict.fromkeys(note for item in found for note in item.notes))
    return {"model": found[0].model, "by": by, "rows": list(_records(found, by)), "notes": notes}


def _records(found: Sequence[Estimate], by: str) -> Iterator[dict[str, Any]]:
    for item, row in _rows(found, by):
        yield {
            **identity(item),
            "level": item.level,
            by: row.name,
            "kind": row.kind,
            "seconds": float(f"{row.seconds:.6g}"),
            "share": float(f"{row.share:.6g}"),
            "bound_s": float(f"{row.bound:.6g}"),
            "flops": row.flops,
            "bytes": row.bytes,
            "kernels": row.kernels,
            "waits_for": row.limit,
        }


def _rows(found: Sequence[Estimate], by: str) -> Iterator[tuple[Estimate, Row]]:
    for item in found:
        for row in item.by(by):
            yield item, row


def _cells(row: Row) -> list[str]:
    return [
        three(1e3 * row.seconds),
        f"{row.share:.1%}",
        three(1e3 * row.bound),
        three(row.flops / 1e9),
        three(row.bytes / 1e6),
        row.limit,
    ]
