"""The header of a safetensors file: eight bytes of length, JSON with dtypes, shapes and offsets, then the data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fpsim.errors import FpsimError

#: The longest header that the safetensors library reads.
LONGEST = 100_000_000
#: Bits of an element by safetensors' names; tensors of other types are carried along, but their size is not checked.
BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
#: NumPy's limit, and torch's.
_DIMS = 64
_META = "__metadata__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tensor of a file.

    Args:
        name: any text.
        dtype: safetensors' name of the type, such as ``BF16``.
        shape: lengths of the axes.
        begin: offset of its first byte in the data.
        end: offset after its last byte.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int = 0
    end: int = 0

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says about its tensors.

    Args:
        entries: the tensors by name, in the order of the header.
        metadata: free text by key.
        start: place of the data in the file, in bytes.
    """

    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    start: int


def parse(text: bytes, available: int, file: str) -> Header:
    """Return the header of a file, checked: the tensors must tile the data, as the safetensors library wants it.

    Args:
        text: the JSON.
        available: bytes of data after it.
        file: what errors call the file.

    Raises:
        FpsimError: it is not the header of a whole safetensors file.
    """
    try:
        tables = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except FpsimError as error:
        raise FpsimError(f"{file}: {error}") from None
    except (ValueError, RecursionError):
        raise FpsimError(f"{file}: its header is no JSON, so it is no safetensors file, or a damaged one") from None
    if not isinstance(tables, dict):
        raise FpsimError(f"{file}: its header is no JSON object, so it is no safetensors file, or a damaged one")
    metadata = tables.pop(_META, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise FpsimError(f"{file}: '{_META}' of its header is no table of texts; the file is damaged")
    entries = {name: _entry(name, table, file) for name, table in tables.items()}
    _check_tiling(entries.values(), available, file)
    return Header(entries=entries, metadata=metadata, start=8 + len(text))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise FpsimError("its header has two entries of one name; the file is damaged")
    return table


def _entry(name: str, table: Any, file: str) -> Entry:
    what = f"{file}: tensor {shown(name)!r}"
    table = table if isinstance(table, dict) else {}
    dtype, shape, offsets = (table.get(key) for key in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise FpsimError(f"{what} lacks a valid dtype, shape or data_offsets in the header; the file is damaged")
    if len(shape) > _DIMS:
        raise FpsimError(f"{what} has {len(shape):,} dims, more than the {_DIMS} that an array can have")
    entry = Entry(name=name, dtype=dtype, shape=tuple(shape), begin=offsets[0], end=offsets[1])
    bits = BITS.get(dtype)
    if bits is not None and entry.count * bits != 8 * entry.size:
        raise FpsimError(
            f"{what}: {dtype} of shape {list(entry.shape)} does not take {entry.size} bytes; the file is damaged"
        )
    return entry


def _naturals(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in values)


def _check_tiling(entries: Iterable[Entry], available: int, file: str) -> None:
    place = 0
    for entry in sorted(entries, key=lambda e: (e.begin, e.end)):
        if entry.begin != place or entry.end < entry.begin:
            raise FpsimError(
                f"{file}: tensor {shown(entry.name)!r} lies at bytes {entry.begin} to {entry.end} of the data, "
                f"but {place} bytes come before it; the file is damaged"
            )
        place = entry.end
    if place != available:
        raise FpsimError(
            f"{file}: its tensors need {place:,} bytes of data, but {available:,} are there; the file is damaged "
            "or incomplete: fetch it again"
        )


def build(tensors: Iterable[Entry], sizes: Mapping[str, int], metadata: Mapping[str, str]) -> tuple[bytes, Header]:
    """Return the first bytes of a file, length included, and the header that they say.

    Args:
        tensors: name, dtype and shape of each; wide types come first in the file, so that all lie aligned.
        sizes: bytes of each by name.
        metadata: free text by key.
    """
    entries: dict[str, Entry] = {}
    place = 0
    for tensor in sorted(tensors, key=lambda e: (-BITS.get(e.dtype, 0), e.name)):
        end = place + sizes[tensor.name]
        entries[tensor.name] = Entry(name=tensor.name, dtype=tensor.dtype, shape=tensor.shape, begin=place, end=end)
        place = end
    tables: dict[str, Any] = {_META: dict(metadata)} if metadata else {}
    tables |= {e.name: {"dtype": e.dtype, "shape": e.shape, "data_offsets": [e.begin, e.end]} for e in entries.values()}
    text = json.dumps(tables, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST:
        raise FpsimError(f"a header of {len(text):,} bytes is longer than safetensors' {LONGEST:,}; split the file")
    return len(text).to_bytes(8, "little") + text, Header(entries=entries, metadata=metadata, start=8 + len(text))


def shown(name: str) -> str:
    """Return a tensor's name as one printable line: control characters are escaped."""
    return name if name.isprintable() else ascii(name)[1:-1]
