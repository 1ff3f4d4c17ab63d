"""``fpsim vectors``: its files, byte for byte, and what it refuses.

After a wanted change: ``FPSIM_WRITE_GOLDEN=1 pytest tests/cli/test_vectors.py``, then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fpsim.cli.main import run

GOLDEN = Path(__file__).parents[1] / "golden"
FILES = {
    "vectors-e2m1-encode.csv": "--format e2m1 --op encode --input f16 --count 6",
    "vectors-e3m2-quantize.hex": "--format e3m2 --input bf16 --rounding toward-zero --count 6 --seed 5",
    "vectors-e2m1-stochastic.mem": "--format e2m1 --op encode --input bf16 --count 4"
    " --rounding stochastic --random-bits 8",
    "vectors-e4m3-decode.json": "--format e4m3 --op decode --input bf16",
    "vectors-nvfp4-encode.csv": "--format nvfp4 --op encode --input bf16 --count 2",
}


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_the_golden_one(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", *FILES[name].split(), "--out", name]) == 0
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"{name}: ")
    if os.environ.get("FPSIM_WRITE_GOLDEN"):
        (GOLDEN / name).write_bytes((here / name).read_bytes())
    assert (here / name).read_bytes() == (GOLDEN / name).read_bytes()
    assert [path.name for path in here.iterdir()] == [name]


def test_every_golden_file_is_compared() -> None:
    assert {path.name for path in GOLDEN.glob("vectors*")} == set(FILES)


def test_a_dash_is_csv_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    name = "vectors-e2m1-encode.csv"
    assert run(["vectors", *FILES[name].split(), "--out", "-"]) == 0
    assert capsys.readouterr().out == (GOLDEN / name).read_text(encoding="utf-8")


def test_a_file_is_replaced_only_if_that_is_asked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["vectors", "--format", "e2m1", "--op", "decode", "--out", "a.csv"]
    assert run(words) == 0
    before = Path("a.csv").read_bytes()
    assert run([*words, "--input", "f64"]) == 2
    assert "a.csv exists; give another name, or --overwrite to replace it" in capsys.readouterr().err
    assert Path("a.csv").read_bytes() == before
    assert run([*words, "--input", "f64", "--overwrite"]) == 0
    assert Path("a.csv").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--format e4m3 --out a.txt",
            "--out a.txt: what to write follows from its end; choose .csv, .json,",
        ),
        ("--format tf32 --out a.csv", "tf32 has 19 bits; vectors go up to 16"),
        ("--format int8 --overflow special --out a.csv", "int8 has neither Inf nor NaN"),
        ("--format mxfp4 --op decode --out a.csv", "mxfp4: op 'decode' has no block vectors"),
        ("--format mxfp4 --rounding stochastic --out a.csv", "mxfp4: stochastic rounding has no block vectors"),
        ("--format e4m3 --op decode --rounding to-odd --out a.csv", "decoding rounds nothing"),
        ("--format e4m3 --random-bits 8 --out a.csv", "--random-bits belongs to stochastic rounding"),
        ("--format e4m3 --op decode --out none/a.csv", "none/a.csv cannot be written"),
        ("--format e4m3fm --out a.csv", "unknown format 'e4m3fm'. Did you mean 'e4m3fn'?"),
    ],
)
def test_bad_input_is_one_line(words: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["vectors", *words.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1
    assert list(here.iterdir()) == []
