"""``fpsim vectors --op dot``: its files, and what it refuses.

After a wanted change: ``FPSIM_WRITE_GOLDEN=1 pytest tests/cli/test_vectors_dot.py``, then read the difference.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fpsim.cli.main import run

GOLDEN = Path(__file__).parents[1] / "golden" / "dot-volta-tail.csv"
VOLTA = ["vectors", "--op", "dot", "--arch", "volta", "--dtype", "fp16", "--count", "3"]


def test_the_head_and_tail_are_the_golden_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*VOLTA, "--seed", "1", "--out", "-"]) == 0
    lines = capsys.readouterr().out.splitlines(keepends=True)
    text = "".join(lines[:20] + lines[-20:])
    if os.environ.get("FPSIM_WRITE_GOLDEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_all_forms_hold_the_same_bits(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("v.csv", "v.json", "v.hex"):
        assert run([*VOLTA, "--out", name]) == 0
    assert capsys.readouterr().err.count("vectors\n") == 3
    rows = [line.split(",") for line in (here / "v.csv").read_text(encoding="utf-8").splitlines()[1:]]
    document = json.loads((here / "v.json").read_text(encoding="utf-8"))
    text = (here / "v.hex").read_text(encoding="utf-8")
    words = [line for line in text.splitlines() if not line.startswith("//")]
    assert len(rows) == len(words) == len(document["vectors"]) == document["header"]["vectors"]
    for row, word, vector in zip(rows, words, document["vectors"], strict=True):
        assert "_".join(row[1:5]).replace(" ", "_") == word
        assert [vector["class"], *(" ".join(vector[f"{key}_bits"]) for key in "abcd")] == row[:5]
    assert "// word: 192 bits = [191:176] a 0, " in text
    assert document["header"] | {"k": 4, "group": 4, "fraction_bits": 23} == document["header"]


@pytest.mark.parametrize("words", ["--arch blackwell-sm120 --dtype nvfp4", "--arch hopper --dtype e4m3,e5m2"])
def test_other_types(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", "--op", "dot", *words.split(), "--count", "1", "--out", "-"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("class,a_bits,b_bits,")
    assert rows[-1].startswith("random,")
    assert len({row.count(",") for row in rows} | {head.count(",")}) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--op dot --arch hopper", "--op dot needs --arch and --dtype, such as --arch hopper --dtype e4m3"),
        ("--op dot --arch volta --dtype e4m3", "volta takes no operands of e4m3; it takes fp16"),
        ("--op dot --arch hopper --dtype e4m3 --bias 3", "--bias belongs to other operations than 'dot'; drop it"),
        ("--op dot --arch hopper --dtype e4m3 --input f64", "--input belongs to other operations than 'dot'; drop it"),
        ("--format e4m3 --arch hopper", "--arch belongs to other operations than 'quantize'; drop it"),
        ("--op encode", "--op encode needs a number format; give --format, such as e4m3"),
        ("--op dot --arch ampere --dtype int8", "int8 sums are exact and have no dot vectors"),
    ],
)
def test_bad_input_is_one_line(words: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", *words.split(), "--out", "a.csv"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1
    assert list(here.iterdir()) == []
