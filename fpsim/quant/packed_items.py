"""Tensors on their way into a packed file: what will be written is known before the first value is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.quant.packed_dtypes import working
from fpsim.quant.packed_encode import pack
from fpsim.quant.packed_header import Entry, build
from fpsim.quant.packed_layout import Parts, layout, part_bytes
from fpsim.quant.packed_recipe import Record, dumps
from fpsim.quant.packed_stream import Put
from fpsim.quant.scales import Scales


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A tensor of the source.

    Args:
        name: its name there.
        dtype: safetensors' name of its type.
        shape: lengths of the axes.
        size: in bytes.
        pieces: gives its bytes, piece by piece.
        record: how it is quantized; None copies it.
        fixed: scales to use instead of fitting them.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    pieces: Callable[[], Iterable[NDArray[np.uint8]]]
    record: Record | None = None
    fixed: Scales | None = None

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    def values(self) -> NDArray[np.floating]:
        """Return its values in the width that they are rounded in."""
        return working(joined(self.pieces(), self.size), self.dtype, self.shape)

    def parts(self, values: NDArray[np.floating]) -> Parts:
        """Return what the file holds of it, if it is quantized."""
        assert self.record is not None, "only for tensors that are quantized"
        return pack(values, self.record, self.name, self.fixed)

    def entries(self) -> Iterator[tuple[Entry, int]]:
        """Yield name, type and shape of each array of the file, with its size in bytes."""
        if self.record is None:
            yield Entry(name=self.name, dtype=self.dtype, shape=self.shape), self.size
            return
        for suffix, (kind, shape) in layout(self.record).items():
            yield Entry(name=f"{self.name}.{suffix}", dtype=kind, shape=shape), part_bytes(kind, shape)

    @property
    def packed_size(self) -> int:
        """Bytes of data that it takes in the file."""
        return sum(size for _, size in self.entries())


def joined(pieces: Iterable[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    """Return pieces of bytes as one array that can be written."""
    whole, place = np.empty(size, np.uint8), 0
    for piece in pieces:
        if piece.size == size and piece.flags.writeable:
            return piece
        whole[place : place + len(piece)] = piece
        place += len(piece)
    return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a file will hold: its arrays, their sizes in bytes by name, and its metadata."""

    entries: Sequence[Entry]
    sizes: Mapping[str, int]
    metadata: Mapping[str, str]

    @property
    def file_bytes(self) -> int:
        """Size of the file."""
        return len(build(self.entries, self.sizes, self.metadata)[0]) + sum(self.sizes.values())


def contents(items: Iterable[Item], metadata: Mapping[str, str]) -> Contents:
    """Return what a packed file of the tensors will hold.

    Args:
        items: the tensors.
        metadata: other text to keep.

    Raises:
        FpsimError: two arrays would have one name.
    """
    entries, sizes, records = [], {}, {}
    for item in items:
        if item.record is not None:
            records[item.name] = item.record
        for entry, size in item.entries():
            if entry.name in sizes:
                raise FpsimError(f"two arrays would be called {entry.name!r} in the file; exclude or rename a tensor")
            entries.append(entry)
            sizes[entry.name] = size
    return Contents(entries=entries, sizes=sizes, metadata={**metadata, **dumps(records)})


def store(item: Item, parts: Parts | None, put: Put) -> None:
    """Write a tensor: its parts where it is quantized, its bytes otherwise."""
    if parts is None:
        put(item.name, item.pieces())
        return
    for suffix, array in parts.items():
        put(f"{item.name}.{suffix}", array)
