"""``fpsim table``: rows, ranges and the JSON that others read."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import fpsim
from fpsim.cli.main import run
from fpsim.cli.table_rows import MOST
from fpsim.number import FloatFormat
from fpsim.number.exact import BINARY32, decode, to_width

KEYS = ["code", "sign", "exponent_field", "mantissa_field", "class", "value", "exact"]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["table", *words]) == 0
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    def refuse(literal: str) -> None:
        raise AssertionError(f"{literal} is not JSON")

    result: dict[str, Any] = json.loads(printed(capsys, *words, "--json"), parse_constant=refuse)
    return result


FLOATS = [
    ("e2m1", ["--bias", "3"]),
    ("e4m3", []),
    ("e5m2", []),
    ("e4m3-fnuz", []),
    ("e8m0", []),
    ("e3m4", ["--bias", "-1.37"]),
    ("e4m3", ["--no-subnormals", "--specials", "ieee"]),
    ("e5m6", []),
    ("binary16", ["--range", "0x7bf0:0x8010"]),
]


@pytest.mark.parametrize(("name", "options"), FLOATS, ids=lambda value: "".join(value))
def test_json_rows_are_what_the_reference_decodes(
    name: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = document(capsys, "--format", name, *options)
    facts = found["format"]
    assert list(found) == ["format", "rows"]
    fmt = FloatFormat(
        name=facts["name"],
        exponent_bits=facts["exponent_bits"],
        mantissa_bits=facts["mantissa_bits"],
        bias=facts["bias"],
        signed=facts["signed"],
        specials=facts["specials"],
        subnormals=facts["subnormals"],
        zero=facts["zero"],
    )
    if not options or options[0] != "--range":
        assert [row["code"] for row in found["rows"]] == list(range(1 << fmt.bits))
    for row in found["rows"]:
        assert list(row) == KEYS
        check_row(fmt, row)


def check_row(fmt: FloatFormat, row: dict[str, Any]) -> None:
    exact = decode(fmt, row["code"])
    fields = (row["sign"] << fmt.exponent_bits | row["exponent_field"]) << fmt.mantissa_bits | row["mantissa_field"]
    assert fields == row["code"]
    if isinstance(exact, float) and not math.isfinite(exact):
        assert row["value"] == row["exact"] == str(exact)
        assert row["class"] == str(abs(exact))
        return
    assert Fraction(row["exact"]) == Fraction(exact)
    assert row["exact"].startswith("-") == (math.copysign(1, exact) < 0)
    assert math.copysign(1, row["value"]) == math.copysign(1, exact)
    assert row["value"] == to_width(BINARY32, Fraction(exact))
    kind = "zero" if exact == 0 else "normal" if row["exponent_field"] or not fmt.zero else "subnormal"
    assert row["class"] == kind


def test_json_of_the_users_first_example(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--format", "e2m1", "--bias", "3")
    assert found["format"]["bias"] == 3
    assert found["format"]["standard_bias"] == 1
    assert found["rows"][1] == {
        "code": 1,
        "sign": 0,
        "exponent_field": 0,
        "mantissa_field": 1,
        "class": "subnormal",
        "value": 0.125,
        "exact": "1/8",
    }
    assert [row["exact"] for row in found["rows"][::8]] == ["0", "-0"]


def test_a_real_bias_is_scale_times_grid(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys, "--format", "e2m1", "--bias", "2.7")
    (scale,) = struct.unpack("<f", struct.pack("<f", 2**-0.7))
    assert found["format"]["scale"] == scale
    grid = document(capsys, "--format", "e2m1", "--bias", "2")["rows"]
    for row, whole in zip(found["rows"], grid, strict=True):
        assert Fraction(row["exact"]) == Fraction(scale) * Fraction(whole["exact"])
        assert row["value"] == struct.unpack("<f", struct.pack("<f", scale * whole["value"]))[0]


def test_a_grid_beyond_float32_is_shown_in_float64(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--format", "e8m7", "--bias", "0.5", "--range", "0x7fff:0x8000")
    assert "scale 2^-0.5 = 0.7071067811865476 (float64)" in text
    assert repr(float(Fraction(255) * Fraction(2) ** 248 * Fraction(2**-0.5))) in text


@pytest.mark.parametrize("name", ["int4", "int8", "int6-full", "uint3", "int8-q6", "nf4"])
def test_integers_and_codebooks(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys, "--format", name)["rows"]
    fmt = fpsim.format(name)
    assert [list(row) for row in rows] == [["code", "value", "exact"]] * (1 << int(fmt.bits))
    values = [decode(fmt, row["code"]) for row in rows]  # type: ignore[arg-type]
    assert [Fraction(row["exact"]) for row in rows] == [Fraction(row["value"]) for row in rows] == values


def test_csv_holds_the_same_rows_with_exponent_significand_and_ulp(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--format", "e4m3", "--specials", "ieee"]
    table = list(csv.DictReader(io.StringIO(printed(capsys, *options, "--csv"))))
    rows = document(capsys, *options)["rows"]
    assert [[str(row[key]) for key in KEYS] for row in rows] == [[line[key] for key in KEYS] for line in table]
    for line in table:
        assert line["format"] == "e4m3 specials=ieee"
        if line["class"] in ("normal", "subnormal"):
            whole, _, digits = line["significand"].partition(".")
            significand = int(whole) + Fraction(int(digits, 2), 8)
            assert significand * Fraction(2) ** int(line["exp"]) == abs(Fraction(line["exact"]))
            assert Fraction(line["ulp"]) == Fraction(2) ** (int(line["exp"]) - 3)
        else:
            assert line["exp"] == ""


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e8m0", "e3m0", "chen-e1m2"])
def test_ulp_is_the_distance_to_the_next_value_of_the_binade(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "--format", name, "--positive", "--csv")
    lines = [line for line in csv.DictReader(io.StringIO(text)) if line["class"] not in ("inf", "nan")]
    for line, following in itertools.pairwise(lines):
        if line["exp"] == following["exp"]:
            assert Fraction(following["exact"]) - Fraction(line["exact"]) == Fraction(line["ulp"])


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        (["--range", "0x0e:18"], [14, 15, 16, 17]),
        (["--range", "127:0X82", "--positive"], [127]),
        (["--range", "255:256"], [255]),
        (["--positive"], list(range(128))),
    ],
)
def test_ranges(options: list[str], codes: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert [row["code"] for row in document(capsys, "--format", "e4m3", *options)["rows"]] == codes


def test_positive_leaves_out_the_nan_in_the_code_of_minus_zero(capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys, "--format", "e4m3-fnuz", "--positive")["rows"]
    assert [row["code"] for row in rows] == list(range(128))
    values = [row["value"] for row in document(capsys, "--format", "nf4", "--positive")["rows"]]
    assert min(values) == 0
    assert len(values) == 9
    assert len(document(capsys, "--format", "e8m0", "--positive")["rows"]) == 256


def test_4096_codes_need_no_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(document(capsys, "--format", "e5m6")["rows"]) == MOST == 4096
    assert run(["table", "--format", "e5m7"]) == 2
    assert "--range A:B" in capsys.readouterr().err


def test_a_format_of_the_users_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[wee]\nexponent_bits = 2\nmantissa_bits = 1\nbias = 2.5\n[steps]\nkind = "codebook"\nvalues = [-1, 0, 4]\n'
    )
    by_hash = printed(capsys, "--format", f"{path}#wee")
    assert by_hash == printed(capsys, "--format", "wee", "--formats-file", str(path))
    assert by_hash.startswith("# wee  bias 2.5  4 bits")
    assert "no source given" in by_hash
    codes = [row["code"] for row in document(capsys, "--format", f"{path}#steps")["rows"]]
    assert codes == [0, 1, 2]
