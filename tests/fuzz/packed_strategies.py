"""Packed files whose metadata are changed, and NumPy files whose headers lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from header_strategies import JUNK, assembled
from hypothesis import strategies as st
from strategies import ANY_TEXT, damaged_bytes

_WORDS = ("", "x", "tensor", "channel", "block", "nosuch", "e8m0", "e2m1", "nan", "\0")
_VALUES: Sequence[Any] = (None, True, -1, 0, 3, 99, 2**62, 10**400, 1.5, [], {}, [1], [0.0, 1.0], {"a": []}, *_WORDS)


def _changed_table(draw: st.DrawFn, table: Any, values: Sequence[Any]) -> Any:
    """A JSON value with one value inside of it replaced, dropped or added."""
    if isinstance(table, dict) and table and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(table)))
        kind = draw(st.sampled_from(("deeper", "deeper", "deeper", "drop", "add")))
        if kind == "drop":
            return {k: v for k, v in table.items() if k != key}
        if kind == "add":
            return {**table, draw(st.sampled_from(("x", "", "size", "axis"))): draw(st.sampled_from(values))}
        return {**table, key: _changed_table(draw, table[key], values)}
    if isinstance(table, list) and table and draw(st.integers(0, 9)):
        at = draw(st.integers(0, len(table) - 1))
        return [*table[:at], _changed_table(draw, table[at], values), *table[at + 1 :]]
    return draw(st.sampled_from([value for value in values if value != table]))


def split(packed: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and data of a safetensors file."""
    end = 8 + int.from_bytes(packed[:8], "little")
    return json.loads(packed[8:end]), packed[end:]


@st.composite
def packed_files(draw: st.DrawFn, originals: Sequence[bytes]) -> bytes:
    """A file of ``fpsim quantize`` with changed metadata, or arrays that do not fit them."""
    header, data = split(draw(st.sampled_from(originals)))
    metadata: dict[str, str] = dict(header["__metadata__"])
    kind = draw(st.sampled_from(("inside", "inside", "inside", "inside", "text", "drop", "array")))
    key = draw(st.sampled_from(("fpsim.formats", "fpsim.recipes", "fpsim.tensors")))
    if kind == "inside":
        metadata[key] = json.dumps(_changed_table(draw, json.loads(metadata[key]), _VALUES))
    elif kind == "text":
        key = draw(st.sampled_from((key, "fpsim.file_version")))
        metadata[key] = draw(st.one_of(st.sampled_from(JUNK), ANY_TEXT))
    elif kind == "drop":
        del metadata[draw(st.sampled_from((key, "fpsim.file_version")))]
    else:
        header = _changed_arrays(draw, header)
    return assembled(json.dumps({**header, "__metadata__": metadata}), data)


def _changed_arrays(draw: st.DrawFn, header: Mapping[str, Any]) -> dict[str, Any]:
    name = draw(st.sampled_from(sorted(set(header) - {"__metadata__"})))
    changed, entry = dict(header), dict(header[name])
    kind = draw(st.sampled_from(("rename", "drop", "flatten", "swap")))
    if kind == "flatten":
        entry["shape"] = [1, *entry["shape"]]
    elif kind == "swap":
        entry["dtype"] = {"U8": "I8", "F32": "U32", "F64": "U64", "U16": "I16", "U32": "I32"}.get(entry["dtype"], "F16")
    changed[name] = entry
    if kind in ("rename", "drop"):
        del changed[name]
    if kind == "rename":
        changed[draw(st.sampled_from((f"{name}x", name.rpartition(".")[0], "codes", "")))] = entry
    return changed


_LIES = (
    *(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}" for shape in ("(99999999999,)", "(-1,)", "2")),
    f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**62}, 4), }}",
    "{'descr': '<f4', 'fortran_order': 3, 'shape': (2,), }",
    *("{'descr': '|O', 'shape': (1,)}", "{'descr': '<M8'}", "{'descr': 3}", "{}", "[1]", "__import__('os')"),
    *("(" * 300, "'" * 9000, "\xff", ""),
)


def lying(header: str) -> bytes:
    """An ``.npy`` file with this header and little data."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin-1") + bytes(64)


def arrays(good: Mapping[str, bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    """A damaged ``.npy`` or ``.npz`` file with its suffix."""
    liars = st.sampled_from(_LIES).map(lying)
    return st.one_of(
        st.tuples(st.just("npy"), st.one_of(damaged_bytes(st.just(good["npy"])), liars)),
        st.tuples(st.just("npz"), damaged_bytes(st.just(good["npz"]))),
    )
