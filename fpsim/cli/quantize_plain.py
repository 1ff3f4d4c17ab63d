"""``fpsim quantize --dequantize``: from a packed file back to plain tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from fpsim.cli.render import Column, Table, show
from fpsim.quant.packed import plain_metadata, unpacked
from fpsim.quant.packed_header import shown
from fpsim.quant.packed_items import Item, store
from fpsim.quant.packed_stream import Reader, writing

_HEADS = ("name", "status", "shape", "dtype", "bytes")


def dequantize(reader: Reader, out: Path) -> list[dict[str, Any]]:
    """Write the tensors of a packed file as plain ones and return which they are.

    Raises:
        FpsimError: the file holds no packed codes, or is damaged.
        OSError: the output cannot be written.
    """
    items = list(unpacked(reader))
    entries = [entry for item in items for entry, _ in item.entries()]
    sizes = {item.name: item.size for item in items}
    metadata = plain_metadata(reader.header.metadata)
    with writing(out, entries, sizes, metadata) as put, progress("dequantize", items) as bar:
        for item in items:
            store(item, None, put)
            bar.update(item.size)
    return [_record(item, item.name in reader.header.entries) for item in items]


def progress(what: str, items: Sequence[Item]) -> Any:
    """Return a bar over bytes on stderr; silent where that is no terminal."""
    total = sum(item.size for item in items)
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None, leave=False)


def show_plain(output: str, rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Print the tensors of :func:`dequantize` to stdout."""
    decoded = sum(row["status"] == "decoded" for row in rows)
    table = Table(
        columns=tuple(Column(name=head, right=head == "bytes") for head in _HEADS),
        rows=[[_text(row[head]) for head in _HEADS] for row in rows],
        comments=(f"{decoded} of {len(rows)} tensors decoded; {out.stat().st_size:,} bytes written to {out}",),
    )
    show(output, lambda: table, lambda: table, lambda: {"out": str(out), "tensors": list(rows)})


def _record(item: Item, copied: bool) -> dict[str, Any]:
    values = (shown(item.name), "copied" if copied else "decoded", list(item.shape), shown(item.dtype), item.size)
    return dict(zip(_HEADS, values, strict=True))


def _text(value: Any) -> str:
    return ("x".join(map(str, value)) or "()") if isinstance(value, list) else str(value)
