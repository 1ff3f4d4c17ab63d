"""The input files of ``fpsim quantize`` and which of their tensors are quantized."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from fpsim.cli.quantize_request import Request
from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name, read_text
from fpsim.quant.packed_dtypes import FLOATS
from fpsim.quant.packed_header import Entry, shown
from fpsim.quant.packed_items import Item
from fpsim.quant.packed_layout import recipe_of
from fpsim.quant.packed_recipe import Record, is_packed
from fpsim.quant.packed_stream import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An input tensor: what becomes of it, and if it is only copied, why."""

    item: Item
    reason: str | None


def open_all(names: Sequence[str], stack: ExitStack) -> list[Reader]:
    """Open safetensors files and the shards of indices; the stack closes them.

    Raises:
        FpsimError: one cannot be read, or two hold tensors of one name.
    """
    paths = [path for name in names for path in _shards(Path(name))]
    readers = [stack.enter_context(Reader(path)) for path in paths]
    owner: dict[str, Path] = {}
    for reader in readers:
        for name in reader.header.entries:
            if name in owner:
                raise FpsimError(
                    f"{owner[name]} and {reader.path} both have a tensor {shown(name)!r}; give one of them"
                )
            owner[name] = reader.path
    return readers


def _shards(path: Path) -> list[Path]:
    check_name(path)
    if path.suffix != ".json" or not path.is_file():
        return [path]
    text = read_text(str(path), "index")
    try:
        table = json.loads(text)
        files = dict.fromkeys(table["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FpsimError(f"{path} is no index of shards: it lacks a 'weight_map' from tensors to files") from None
    for file in files:
        if not isinstance(file, str) or Path(file).name != file:
            raise FpsimError(f"{path}: shard {file!r} is no name of a file beside it; repair the index")
    if not files:
        raise FpsimError(f"{path} names no shard; repair the index")
    return [path.parent / file for file in files]


def choose(readers: Iterable[Reader], request: Request) -> list[Source]:
    """Return all tensors with what becomes of them, in the order of the files.

    Raises:
        FpsimError: a file holds packed codes; a glob matches nothing; nothing is left to quantize.
    """
    readers = list(readers)
    for reader in readers:
        if is_packed(reader.header.metadata):
            raise FpsimError(f"{reader.path} holds packed codes already; --dequantize makes plain tensors of it")
    names = [name for reader in readers for name in reader.header.entries]
    for glob in (*request.include, *request.exclude):
        _check_glob(glob, names)
    sources = [_source(reader, entry, request) for reader in readers for entry in reader.header.entries.values()]
    if all(source.reason for source in sources):
        why = ", ".join(f"{count} {reason}" for reason, count in reasons(sources).items()) or "there is none"
        raise FpsimError(f"no tensor is left to quantize: {why}; see --min-dims, --include, --exclude")
    return sources


def reasons(sources: Iterable[Source]) -> Mapping[str, int]:
    """Return how many tensors are copied for each reason."""
    found: dict[str, int] = {}
    for source in sources:
        if source.reason:
            found[source.reason] = found.get(source.reason, 0) + 1
    return found


def _check_glob(glob: str, names: Sequence[str]) -> None:
    if not any(fnmatchcase(name, glob) for name in names):
        near = difflib.get_close_matches(glob, names, 1, cutoff=0.0)
        hint = f"; the nearest is {shown(near[0])!r}" if near else ""
        raise FpsimError(f"glob {glob!r} matches no tensor{hint}")


def _source(reader: Reader, entry: Entry, request: Request) -> Source:
    reason, record = _reason(entry, request), None
    if reason is None:
        recipe = recipe_of(request.quantizer(len(entry.shape)), request.how)
        record = Record(dtype=entry.dtype, shape=entry.shape, recipe=recipe)
    return Source(item=plain_item(entry, partial(reader.pieces, entry), record), reason=reason)


def plain_item(entry: Entry, pieces: Any, record: Record | None) -> Item:
    """Return a tensor of a file."""
    return Item(name=entry.name, dtype=entry.dtype, shape=entry.shape, size=entry.size, pieces=pieces, record=record)


def _reason(entry: Entry, request: Request) -> str | None:
    """Why a tensor is copied; None if it is quantized."""
    if entry.dtype not in FLOATS:
        return f"of type {shown(entry.dtype)}"
    if any(fnmatchcase(entry.name, glob) for glob in request.exclude):
        return "excluded"
    if request.include and not any(fnmatchcase(entry.name, glob) for glob in request.include):
        return "not included"
    if len(entry.shape) < request.min_dims:
        return f"of fewer than {request.min_dims} dims"
    return None if entry.count else "without values"
