"""Safetensors files, NumPy files and packed files whose headers lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from strategies import ANY_TEXT, damaged_bytes, nested

_HUGE = (2**31, 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, -1, -(2**63))
#: Values that no field of a header takes, as JSON.
JUNK = (
    *"null true [] {} [[]] -1 1.5 1e999 NaN -Infinity [-1,4] [0,1e2] [0,128,128] [128,0] [0] [1,[2]] [4,8,0]".split(),
    *'"x" "" "F32" "\\ud800" "\\u0000\\n" ["0","128"] [true,false] [null,null] {"a":1} [0,9999999999]'.split(),
    *("9" * 400, "9" * 5000, "[4,8" + ",1" * 70 + "]", "[" + "1," * 99 + "1]", f"[{2**62},0]"),
    *(nested(60, "[", "]"), nested(5000, "[", "]"), nested(3000, '{"a":', "}", "1")),
    *(f"[0,{end}]" for end in (127, 129, 2**62, 2**64)),
    *(f"[{size},{size}]" for size in _HUGE),
    *("[4,132]", "[1,0]", "[-4,128]", f"[{2**62},{2**63}]"),
)
_DTYPES = (*"f32 F33 F16 F64 BF16 U8 I64 BOOL C64 F4 F8_E4M3".split(), "", "\ud800", "\n", "Z" * 300)
_DATA = bytes(range(128))
_GOOD = '{"dtype":"F32","shape":[4,8],"data_offsets":[0,128]}'


def assembled(header: str | bytes, data: bytes = _DATA, length: int | None = None) -> bytes:
    """A safetensors file: the header's length, the header, the data."""
    text = header if isinstance(header, bytes) else header.encode("utf-8", "surrogatepass")
    size = len(text) if length is None else length
    return (size % 2**64).to_bytes(8, "little") + text + data


def _field(draw: st.DrawFn) -> bytes:
    fields = {"dtype": '"F32"', "shape": "[4, 8]", "data_offsets": "[0, 128]"}
    for key in draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=2, unique=True)):
        kind = draw(st.sampled_from(("junk", "junk", "drop", "dtype")))
        if kind == "drop":
            del fields[key]
        else:
            fields[key] = draw(st.sampled_from(JUNK)) if kind == "junk" else json.dumps(draw(st.sampled_from(_DTYPES)))
    return assembled('{"w": {' + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + "}}")


def _shape(draw: st.DrawFn) -> bytes:
    sizes = st.one_of(st.integers(0, 9), st.sampled_from(_HUGE), st.integers(10, 2**63))
    shape, offsets = draw(st.lists(sizes, max_size=6)), draw(st.lists(sizes, min_size=2, max_size=2))
    dtype = draw(st.sampled_from((*_DTYPES, "F32")))
    return assembled(json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}))


def _tensors(draw: st.DrawFn) -> bytes:
    """Several tensors that overlap, leave holes or share a name."""
    cuts = draw(st.lists(st.integers(0, 32).map(lambda n: 4 * n), min_size=2, max_size=6))
    names = draw(st.lists(st.sampled_from(("a", "b", "c", "", "__metadata__")), min_size=len(cuts), max_size=len(cuts)))
    entry = '"{}":{{"dtype":"F32","shape":[{}],"data_offsets":[{},{}]}}'
    parts = [entry.format(n, abs(b - a) // 4, a, b) for n, a, b in zip(names, cuts, [*cuts[1:], 128], strict=True)]
    return assembled("{" + ",".join(parts) + "}")


def _metadata(draw: st.DrawFn) -> bytes:
    value = draw(st.sampled_from((*JUNK, '{"a": null}', '{"a": {}}', '{"fpsim.file_version": "1"}', '{"a": ["b"]}')))
    return assembled(f'{{"__metadata__": {value}, "w": {_GOOD}}}')


def _length(draw: st.DrawFn) -> bytes:
    text = f'{{"w": {_GOOD}}}'
    lengths = st.sampled_from(
        (0, 1, 2, len(text) - 1, len(text) + 1, 2**31, 2**62, 2**63, -1, 100_000_000, len(text) + 128)
    )
    return assembled(text, length=draw(st.one_of(lengths, st.integers(0, 2**64 - 1))))


def _text(draw: st.DrawFn) -> bytes:
    text = draw(
        st.one_of(
            st.sampled_from(JUNK), ANY_TEXT, st.sampled_from((f'{{"w": {_GOOD}', f"[{_GOOD}]", " " * 200, "\ufeff{}"))
        )
    )
    return assembled(text)


def _cut(draw: st.DrawFn) -> bytes:
    whole = assembled(f'{{"w": {_GOOD}}}')
    extra = draw(st.integers(-len(whole), 40).filter(bool))
    return whole[:extra] if extra < 0 else whole + bytes(extra)


_HEADERS: Sequence[Callable[[st.DrawFn], bytes]] = (
    _field,
    _field,
    _field,
    _shape,
    _shape,
    _tensors,
    _metadata,
    _length,
    _text,
    _cut,
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A safetensors file whose header is wrong in one way."""
    return draw(st.sampled_from(_HEADERS))(draw)


def damaged_files() -> st.SearchStrategy[bytes]:
    """A good file with damaged bytes, or bytes that are no file."""
    good = st.sampled_from([assembled(f'{{"w": {_GOOD}}}'), assembled(f'{{"__metadata__":{{"a":"b"}},"w":{_GOOD}}}')])
    return st.one_of(damaged_bytes(good), damaged_bytes(good), st.binary(max_size=40))
