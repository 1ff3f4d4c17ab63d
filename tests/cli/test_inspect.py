"""``fpsim inspect``: numbers read exactly, negative ones that look like options, and what the records hold."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest

import fpsim
from fpsim.cli.main import run
from fpsim.cli.numbers import digits, exact_number
from fpsim.errors import FpsimError
from fpsim.number.inspection import inspect


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(["inspect", *words]) == 0
    return capsys.readouterr().out


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(printed(capsys, *words, "--json"))["rows"]
    return found


EXACT = {
    "0.1": Fraction(1, 10),
    "-1/3": Fraction(-1, 3),
    "0x1.8p-3": Fraction(3, 16),
    "-0x.8": Fraction(-1, 2),
    "0X1P+4": Fraction(16),
    "2^-126": Fraction(1, 2**126),
    "-3*2^-130": Fraction(-3, 2**130),
    "1e-45": Fraction(1, 10**45),
    "+7.": Fraction(7),
    ".5": Fraction(1, 2),
    "inf": math.inf,
    "-Infinity": -math.inf,
}


@pytest.mark.parametrize("text", EXACT)
def test_numbers_are_read_exactly(text: str) -> None:
    assert exact_number(text) == EXACT[text]
    assert isinstance(exact_number(text), type(EXACT[text]))


def test_zeros_keep_their_sign_and_nan_is_one() -> None:
    assert exact_number("0") == 0
    assert isinstance(exact_number("0"), Fraction)
    for text in ("-0", "-0.0", "-0/3", "-0x0p5"):
        assert math.copysign(1, exact_number(text)) == -1
    assert math.isnan(float(exact_number("nan")))


@pytest.mark.parametrize(
    "text", ["abc", "1_000", "0x", "1e", "1/3/4", "2^0.5", "", "1/0", "0^-1", "1e5000", "2^99999", "9" * 5000, "- 1"]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(FpsimError):
        exact_number(text)


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        (Fraction(1, 3), "0.333"),
        (Fraction(1, 65536), "1.53e-05"),
        (Fraction(-57344), "-57300"),
        (Fraction(10) ** 999, "1e+999"),
        (Fraction(9995, 10), "1000"),
        (Fraction(0), "0"),
        (-0.0, "-0"),
        (math.inf, "inf"),
    ],
)
def test_digits(exact: Fraction | float, text: str) -> None:
    assert digits(exact, 3) == text


@pytest.mark.parametrize("word", ["-0.3", "-1/3", "-inf", "-0", "-0x1.8p-3", "-2^-7", "-.5", "-1e-3"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_negative_numbers_are_values(word: str, order: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--format", "e4m3", "--bias", "-3"]
    words = [word, *options] if order == "first" else [*options, word]
    (row,) = rows(capsys, *words)
    assert row["x"] == word
    assert row["sign"] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("0.3 --fromat e4m3", "No such option '--fromat'. (Did you mean"),
        ("0.3 --fromat=e4m3 --format e2m1", "No such option '--fromat'"),
        ("0.3 -q --format e4m3", "No such option '-q'"),
        ("--format e4m3", "Missing argument 'VALUE...'"),
        ("0.3", "Missing option '--format'"),
        ("x --format e4m3", "'x' is not a number; write 0.1, 1/3, 0x1.8p-3, 2^-126, inf or nan"),
        ("1 --format e4m3,,e5m2", "has an empty name"),
        ("1 --format mxfp4", "--format e2m1, or its scale, --format e8m0"),
        ("nan --format e2m1", "e2m1 has no NaN code"),
        ("1 --format e4m3 --rounding nearest", "'nearest' does not say what happens to ties"),
        ("1 --format e4m3 --rounding stochastic", "no single result"),
        ("1 --format e4m3 --rounding towards-zero", "Did you mean 'toward-zero'?"),
        ("1 --format e2m1 --overflow special", "neither Inf nor NaN"),
        ("1 --format int8 --bias 3", "int8 is no floating-point format"),
        ("- - --format e4m3", "only once"),
        ("1 --format e4m3 --bias -3000", "beyond float64; give a bias nearer the standard one"),
    ],
)
def test_bad_input(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", *words.split()]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert message in output.err


def test_stdin_takes_its_place_among_the_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("0.25  -1/3\n-inf\n"))
    assert [row["x"] for row in rows(capsys, "1", "-", "2", "--format", "e4m3")] == ["1", "0.25", "-1/3", "-inf", "2"]
    monkeypatch.setattr(sys, "stdin", io.StringIO(" \n"))
    assert run(["inspect", "-", "--format", "e4m3"]) == 2
    assert "no numbers on stdin" in capsys.readouterr().err


def test_a_pipe_in_a_process() -> None:
    command = [sys.executable, "-m", "fpsim", "inspect", "-", "--format", "e2m1", "--csv"]
    done = subprocess.run(command, input="1.75\n-0\n", capture_output=True, text=True, check=True)
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [(row["x"], row["code"], row["exact"], row["tie"]) for row in found] == [
        ("1.75", "4", "2", "true"),
        ("-0", "8", "-0", "false"),
    ]


def test_a_record_holds_the_inspection(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = rows(capsys, "0.3", "--format", "e4m3")
    assert {key: row[key] for key in ("code", "sign", "exponent_field", "mantissa_field", "class")} == {
        "code": 0x2A,
        "sign": 0,
        "exponent_field": 5,
        "mantissa_field": 2,
        "class": "normal",
    }
    assert (row["exact_x"], row["value"], row["exact"], row["ulp"]) == ("3/10", 0.3125, "5/16", "1/32")
    assert (row["below_code"], row["below"], row["above_code"], row["above"]) == (0x29, "9/32", 0x2A, "5/16")
    assert (row["error"], row["error_ulps"], row["relative"]) == ("1/80", "2/5", "1/24")
    assert [row[key] for key in ("inexact", "tie", "overflow", "underflow")] == [True, False, False, False]


def test_every_format_and_value_has_a_row_and_options_reach_them(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["0.3", "-5", "--format", "e2m1,e4m3", "--format", "e3m2", "--bias", "2.7", "--rounding", "toward-zero"]
    found = rows(capsys, *words)
    assert [(row["x"], row["format"]) for row in found] == [
        (x, f"{name} bias=2.7") for x in ("0.3", "-5") for name in ("e2m1", "e4m3", "e3m2")
    ]
    from fpsim.number.conversion import Conversion, Rounding

    for row in found:
        fmt = fpsim.format(row["format"].split()[0], bias=2.7)
        expected = inspect(fmt, Fraction(row["exact_x"]), Conversion(rounding=Rounding.TOWARD_ZERO))  # type: ignore[arg-type]
        assert (row["code"], Fraction(row["exact"])) == (expected.code, expected.value)
    overflow = rows(capsys, "1e9", "nan", "--format", "e5m2", "--overflow", "special")
    assert [row["value"] for row in overflow] == ["inf", "nan"]
    assert rows(capsys, "nan", "--format", "e2m1", "--nan", "max")[0]["exact"] == "6"


EIGHT = "e4m3,e5m2,e4m3-fnuz,e5m2-fnuz,e3m4-ieee,chen-e2m5,int8,e2m1"


@pytest.mark.parametrize("value", ["0.1", "-1/3", "3.1e-5", "1e9", "-inf", "2^-17", "-2^-17", "-0"])
@pytest.mark.parametrize("names", [EIGHT, "e4m3", "e5m2"])
def test_lines_fit_eighty_columns(value: str, names: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, value, "--format", names).splitlines()
    assert max(map(len, lines)) <= 80
    tables = 2 * (1 + names.count(",") + 1) + 1  # two tables with their headings, and the line between
    assert len([line for line in lines if not line.startswith("#")]) == tables


def test_several_values_of_one_format_share_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "0.1", "-2", "--format", "fp8", "--bias", "7.5")
    assert text.count("s eeee mmm") == 1
    assert text.startswith("# fp8 = e4m3 (bias 7.5, fn, max 316.784)\n#   grid * s, s = 2^-0.5 = 0.7071067811865476;")
    assert "\n0.1  " in text
    assert "\n-2   " in text
