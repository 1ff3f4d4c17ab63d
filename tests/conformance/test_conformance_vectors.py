"""Golden vectors are the specification's, the same every time, and readable by other tools."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fpsim
from fpsim.conformance import vector_block_files, vector_files
from fpsim.conformance.classify import CLASSES
from fpsim.conformance.inputs import INPUTS, numbers_of
from fpsim.conformance.vector_blocks import BlockRequest, block_vectors
from fpsim.conformance.vectors import Op, Request, inputs, vectors
from fpsim.number.conversion import Conversion
from fpsim.number.counter import word

TO_ODD = Conversion(rounding="to-odd", overflow="special")  # type: ignore[arg-type]
STOCHASTIC = Conversion(rounding="stochastic", random_bits=6, seed=4)  # type: ignore[arg-type]


def request(name: str, op: str = "quantize", kind: str = "f32", **more: Any) -> Request:
    return Request(format=fpsim.format(name), op=Op(op), kind=INPUTS[kind], **more)


def same(a: Any, b: Any) -> np.ndarray:
    """Where two arrays are equal, signs of zeros included; any NaN is any other."""
    with np.errstate(invalid="ignore"):  # signalling NaN
        a, b = (np.asarray(v, np.float64) for v in (a, b))
    return ((a == b) & (np.signbit(a) == np.signbit(b))) | (np.isnan(a) & np.isnan(b))


@pytest.mark.parametrize(
    ("name", "kind", "how"),
    [
        ("e2m1", "f32", Conversion()),
        ("e3m2", "f64", Conversion(rounding="toward-negative")),  # type: ignore[arg-type]
        ("e3m0-fnuz", "bf16", TO_ODD),
        ("int4", "f16", Conversion(nan="max")),  # type: ignore[arg-type]
        ("nf4", "f32", STOCHASTIC),
    ],
)
def test_quantize_vectors_are_what_fpsim_gives(name: str, kind: str, how: Conversion) -> None:
    asked = request(name, kind=kind, how=how, count=20)
    found = list(vectors(asked))
    x = numbers_of(asked.kind, np.array([v.input for v in found], np.uint64))
    assert same(x, [v.value for v in found]).all()
    random = {} if how.deterministic else {"random_bits": how.random_bits, "seed": how.seed}
    policies = {"rounding": how.rounding, "overflow": how.overflow, "nan": how.nan, **random}
    y = fpsim.quantize(x, asked.format, backend="numpy", **policies)
    outputs = numbers_of(asked.kind, np.array([v.output for v in found], np.uint64))
    assert same(outputs, [v.result for v in found]).all()
    assert same(y, outputs).all()
    coded = [i for i, v in enumerate(found) if v.code is not None and not math.isnan(v.result)]
    decoded = [fpsim.number.exact.decode(asked.format, found[i].code, width=asked.kind.width) for i in coded]
    assert same(decoded, [found[i].result for i in coded]).all()
    if not how.deterministic:
        assert [v.word for v in found[:30]] == [word(4, i, 6) for i in range(30)]


def test_directed_vectors_come_first_with_their_classes() -> None:
    asked = request("e3m1-fnuz", "encode", "bf16", count=10)
    found = list(vectors(asked))
    assert {v.kind for v in found} == {*CLASSES} - {"double rounding"}
    assert [v.kind for v in found[:5]] == ["nan", "nan", "nan", "inf", "inf"]
    assert [v.input for v in found[:-10]] == inputs(replace(asked, count=0)).tolist()
    assert len({v.input for v in found[-10:]}) == 10


def test_every_e4m3_code_decodes_as_in_ml_dtypes() -> None:
    found = list(vectors(request("e4m3", "decode", "bf16")))
    codes = np.array([v.code for v in found], np.uint8)
    theirs = codes.view(ml_dtypes.float8_e4m3fn)
    assert codes.tolist() == list(range(256))
    assert same(theirs.astype(np.float64), [v.result for v in found]).all()
    bits = np.array([v.output for v in found], np.uint16)
    assert same(bits.view(ml_dtypes.bfloat16).astype(np.float64), theirs.astype(np.float64)).all()


def test_nan_without_a_code_is_left_out_of_encode_and_blank_in_quantize() -> None:
    assert not any(math.isnan(v.value) for v in vectors(request("e2m1", "encode", "f16")))
    found = [v for v in vectors(request("e2m1", "quantize", "f16")) if v.kind == "nan"]
    assert {(v.code, v.output) for v in found} == {(None, 0x7E00)}
    zero = request("e2m1", "encode", "f16", how=Conversion(nan="negative-zero"))  # type: ignore[arg-type]
    assert {v.code for v in vectors(zero) if v.kind == "nan"} == {8}


def test_hex_words_parse_back() -> None:
    asked = request("e2m3", "encode", "f16", how=STOCHASTIC, count=5)
    found = list(vectors(asked))
    lines = vector_files.hex_text(asked, found).splitlines()
    comments = [line for line in lines if line.startswith("//")]
    assert comments[-1] == "// word: 32 bits = [31:16] input_bits, [15:8] word, [7:0] code"
    words = [int(line.replace("_", ""), 16) for line in lines[len(comments) :]]
    assert words == [v.input << 16 | v.word << 8 | v.code for v in found]
    assert all(len(line.replace("_", "")) == 8 for line in lines[len(comments) :])


def test_csv_and_json_hold_the_same() -> None:
    asked = request("e2m1", kind="bf16", count=3)
    found = list(vectors(asked))
    rows = list(csv.DictReader(io.StringIO(vector_files.csv_text(asked, found))))
    document = json.loads(vector_files.json_text(asked, found, {"name": "e2m1"}))
    assert document["header"]["facts"] == {"name": "e2m1"}
    assert document["header"]["vectors"] == len(rows) == len(document["vectors"]) == len(found)
    for row, other in zip(rows, document["vectors"], strict=True):
        assert (row["input_bits"], row["output_bits"], row["class"]) == (
            other["input_bits"],
            other["output_bits"],
            other["class"],
        )
        assert same(float(row["output"]), float(other["output"]))


@pytest.mark.parametrize(("name", "kind"), [("mxfp4", "bf16"), ("mxfp8-rceil", "f32"), ("nvfp4", "f32")])
def test_block_vectors_are_what_fpsim_gives(name: str, kind: str) -> None:
    fmt: Any = fpsim.format(name)
    asked = BlockRequest(format=fmt, op=Op.QUANTIZE, kind=INPUTS[kind], count=2)
    found = list(block_vectors(asked))
    one = replace(fmt, tensor_scale=False)
    x = numbers_of(asked.kind, np.array([v.inputs for v in found], np.uint64))
    outputs = numbers_of(asked.kind, np.array([v.outputs for v in found], np.uint64))
    assert same(fpsim.quantize(x, one, backend="numpy"), outputs).all()
    whole = [i for i, v in enumerate(found) if None not in v.codes]
    encoded = fpsim.encode(x[whole], one)
    assert encoded.codes.tolist() == [list(found[i].codes) for i in whole]
    assert encoded.scales.ravel().tolist() == [found[i].scale_code for i in whole]


def test_block_files_parse_back() -> None:
    asked = BlockRequest(format=fpsim.format("nvfp4"), op=Op.ENCODE, kind=INPUTS["f16"], count=1)  # type: ignore[arg-type]
    found = list(block_vectors(asked))
    lines = vector_block_files.hex_text(asked, found).splitlines()
    words = [line.split("_") for line in lines if not line.startswith("//")]
    assert [tuple(int(part, 16) for part in line) for line in words] == [
        (*v.inputs, v.scale_code, *v.codes) for v in found
    ]
    assert any("the tensor's scale is 1" in line for line in lines)
    document = json.loads(vector_block_files.json_text(asked, found))
    rows = list(csv.DictReader(io.StringIO(vector_block_files.csv_text(asked, found))))
    assert [row["codes"].split() for row in rows] == [row["codes"] for row in document["vectors"]]


def test_what_has_no_vectors_is_refused() -> None:
    with pytest.raises(fpsim.FpsimError, match="mxfp4: stochastic rounding has no block vectors"):
        BlockRequest(format=fpsim.format("mxfp4"), op=Op.ENCODE, kind=INPUTS["f32"], how=STOCHASTIC)  # type: ignore[arg-type]
    with pytest.raises(fpsim.FpsimError, match="tf32 has 19 bits; vectors go up to 16"):
        request("tf32")
    with pytest.raises(fpsim.FpsimError, match="decoding rounds nothing"):
        request("e4m3", "decode", how=TO_ODD)
