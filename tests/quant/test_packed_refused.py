"""What cannot be saved or read: one line that says why, and never half a file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packed_cases import entry, values, write_raw

import fpsim
from fpsim import FpsimError, PerChannel, Quantizer, load_packed, save_packed
from fpsim.quant import packed_stream

Q = Quantizer("e4m3", PerChannel(0), "max")
X = values((3, 35), np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_packed(tmp_path / "good.safetensors", {"x": X, "steps": np.arange(3)}, {"x": Q})
    return tmp_path / "good.safetensors"


def header_of(file: Path) -> dict[str, Any]:
    raw = file.read_bytes()
    header: dict[str, Any] = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return header


def data_of(file: Path) -> bytes:
    raw = file.read_bytes()
    return raw[8 + int.from_bytes(raw[:8], "little") :]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fmt", ["e4m3", "mxfp4"])
def test_nan_and_inf_name_their_tensor(bad: float, fmt: str, tmp_path: Path) -> None:
    x = X.copy()
    x[1, 2] = bad
    with pytest.raises(FpsimError, match=r"tensor 'blocks\.0' holds NaN or Inf; repair it, or leave it out"):
        save_packed(tmp_path / "a.safetensors", {"first": X, "blocks.0": x}, Quantizer(fmt))
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_saved(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    for tensors, quantizer, target, said in (
        ({"x": X}, Q, file, "exists; choose another name"),
        ({"x": X}, Q, tmp_path, "is a folder"),
        ({"x": X}, Q, tmp_path / "no" / "a", "lies in no existing folder"),
        ({"x": X}, {"y": Q}, out, "a quantizer is given for 'y', but there is no tensor"),
        ({"x": np.arange(3)}, {"x": Q}, out, "'x' \\(I64 of shape \\[3\\]\\) has no floating-point values"),
        ({"x": [1.0]}, Q, out, "tensor 'x' of type list cannot be stored"),
        ({"x": np.array(["a"])}, Q, out, "cannot be stored"),
        ({"x": X, "x.codes": X[0, :0]}, Q, out, "two arrays would be called 'x.codes'"),
        ({"x": X}, Quantizer("e4m3", PerChannel(2)), out, "axis 2 does not exist in a tensor of shape \\[3, 35\\]"),
    ):
        with pytest.raises(FpsimError, match=said):
            save_packed(target, tensors, quantizer)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_write_that_fails_leaves_nothing(stop: BaseException, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_number: int) -> None:
        raise stop

    before = file.read_bytes()
    monkeypatch.setattr(packed_stream.os, "fsync", fail)
    with pytest.raises(type(stop)):
        save_packed(file, {"x": X}, Q, overwrite=True)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


GOOD = entry("F32", [2], 0, 8)
HEADERS: dict[str, tuple[Any, bytes, str]] = {
    "empty": (b"", b"", "its header is no JSON"),
    "garbage": (b"\xff\xfe{", b"", "its header is no JSON"),
    "a list": ([], b"", "no JSON object"),
    "deep": (b"[" * 200_000, b"", "its header is no JSON"),
    "huge number": (b'{"x": ' + b"9" * 5000 + b"}", b"", "its header is no JSON"),
    "twice": (b'{"x": %b, "x": %b}' % ((json.dumps(GOOD).encode(),) * 2), bytes(8), "two entries of one name"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", "is no table of texts"),
    "no table": ({"x": 3}, b"", "'x' lacks a valid dtype, shape or data_offsets"),
    "negative": ({"x": entry("F32", [-2], 0, 8)}, bytes(8), "lacks a valid"),
    "true": ({"x": entry("F32", [True], 0, 4)}, bytes(4), "lacks a valid"),
    "three offsets": ({"x": {**GOOD, "data_offsets": [0, 8, 8]}}, bytes(8), "lacks a valid"),
    "size": ({"x": entry("F32", [3], 0, 8)}, bytes(8), "F32 of shape \\[3\\] does not take 8 bytes"),
    "huge shape": ({"x": entry("F32", [2**62, 2**62], 0, 8)}, bytes(8), "does not take 8 bytes"),
    "backwards": ({"x": entry("X", [0], 8, 0)}, bytes(8), "the file is damaged"),
    "gap": ({"x": entry("F32", [2], 8, 16)}, bytes(16), "lies at bytes 8 to 16 of the data, but 0 bytes come before"),
    "overlap": ({"x": GOOD, "y": entry("F32", [2], 4, 12)}, bytes(12), "'y' lies at bytes 4 to 12"),
    "cut": ({"x": GOOD}, bytes(7), "need 8 bytes of data, but 7 are there; the file is damaged or incomplete"),
    "more": ({"x": GOOD}, bytes(9), "need 8 bytes of data, but 9 are there"),
    "plain": ({"x": GOOD}, bytes(8), "holds no packed codes of fpsim"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_malformed_files(case: str, tmp_path: Path) -> None:
    header, data, said = HEADERS[case]
    path = write_raw(tmp_path / "bad.safetensors", header, data)
    with pytest.raises(FpsimError, match=said) as error:
        load_packed(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("length", "size"), [(2**63, 10), (2**64 - 1, 10), (3, 10), (100_000_001, 2**28)], ids=["63", "64", "3", "sparse"]
)
def test_a_length_beyond_file_or_limit_allocates_nothing(length: int, size: int, tmp_path: Path) -> None:
    path = write_raw(tmp_path / "bad.safetensors", b"{}", length=length)
    os.truncate(path, size)
    with pytest.raises(FpsimError, match="cut off: its first 8 bytes announce a header of"):
        load_packed(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"1234")
    for name, said in ((".", "is a folder"), ("none", "No such file"), ("short", "4 bytes, too few")):
        with pytest.raises(FpsimError, match=said):
            load_packed(tmp_path / name)
    with pytest.raises(FpsimError, match="framework 'jax' is not one of numpy, torch"):
        load_packed(tmp_path / "none", framework="jax")  # type: ignore[arg-type]


def changed(file: Path, key: str, change: Any) -> Path:
    """The file with another value in its metadata."""
    header, data = header_of(file), data_of(file)
    value = json.loads(header["__metadata__"][f"fpsim.{key}"])
    header["__metadata__"][f"fpsim.{key}"] = json.dumps(change(value))
    return write_raw(file, header, data)


METADATA: dict[str, tuple[str, Any, str]] = {
    "version": ("file_version", lambda _: 2, "has layout 2 .* this fpsim reads layout 1"),
    "formats": ("formats", lambda _: {}, "metadata are damaged \\(KeyError: 'e4m3'\\)"),
    "format": ("formats", lambda t: {"e4m3": {**t["e4m3"], "bias": "x"}}, "key 'bias': 'x'"),
    "recipes": ("recipes", lambda _: [], "metadata are damaged"),
    "rounding": ("recipes", lambda t: [{**t[0], "rounding": "nearest"}], "rounding 'nearest'"),
    "granularity": ("recipes", lambda t: [{**t[0], "granularity": "row"}], "granularity 'row' is not"),
    "axis": ("recipes", lambda t: [{**t[0], "axis": 5}], "axis 5 does not exist"),
    "shape": ("tensors", lambda t: {"x": {**t["x"], "shape": [10**15, 35]}}, "'x.codes' should be U8"),
    "scales": ("tensors", lambda t: {"x": {**t["x"], "shape": [35, 3]}}, "'x.scales' should be F32 \\[35\\]"),
    "type": ("tensors", lambda t: {"x": {**t["x"], "dtype": "I8"}}, "is no tensor of floating-point values"),
    "name": ("tensors", lambda t: {"y": t["x"]}, "'y.codes' should be U8 \\[105\\]"),
    "number": ("tensors", lambda t: {"x": {**t["x"], "recipe": -1}}, "-1 is no number of a recipe"),
    "list": ("tensors", lambda _: [1], "metadata are damaged"),
}


@pytest.mark.parametrize("case", METADATA)
def test_damaged_metadata(case: str, file: Path) -> None:
    key, change, said = METADATA[case]
    with pytest.raises(FpsimError, match=said) as error:
        load_packed(changed(file, key, change))
    assert "\n" not in str(error.value)


def test_scales_that_are_none(file: Path) -> None:
    header, data = header_of(file), bytearray(data_of(file))
    begin, end = header["x.scales"]["data_offsets"]
    data[begin:end] = np.float32([0.1, np.nan, 0.1]).tobytes()
    with pytest.raises(FpsimError, match=r"tensor 'x': .*nan"):
        load_packed(write_raw(file, header, bytes(data)))


@settings(deadline=None, max_examples=200)
@given(place=st.integers(0, 10**6), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_any_damage_is_named_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    save_packed(path, {"x": X}, Quantizer("mxfp4"), overwrite=True)
    raw = bytearray(path.read_bytes())
    raw[place % len(raw)] = byte
    path.write_bytes(raw[: len(raw) - (place % 50 if cut == 0 else 0)])
    try:
        back = load_packed(path)
    except FpsimError as error:
        back = {}
        said = str(error)
    else:
        said = "nothing"
    assert said.isprintable()
    assert sum(x.size for x in back.values()) <= len(raw) * 2


def test_nothing_heavy_is_needed_for_the_names() -> None:
    assert {"load_packed", "save_packed"} <= set(dir(fpsim))
