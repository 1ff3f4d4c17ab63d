"""``fpsim conformance``: the table, the exit codes, the messages."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_startup import heavy, loaded_by

from fpsim.cli.main import run
from fpsim.conformance import adapters
from fpsim.conformance.oracle import expected

QUICK = ("--format", "e2m1", "--width", "32", "--quick")


class OffByOne:
    """Every tie of 0.25 goes up."""

    name, arrays = "off", "numpy"

    def quantize(self, x: Any, fmt: Any, scale: Any, out: Any, zero_point: Any = None) -> None:
        with np.errstate(invalid="ignore"):
            out[...] = np.where(x / scale == 0.25, 0.5 * scale, expected(x, fmt, scale))


def conformance(*words: str) -> int:
    return run(["conformance", *words])


def test_a_right_backend_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance("--backend", "numpy", *QUICK, "--rounding", "ties-to-even", "--seed", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# numpy, quick cases, seed 3"
    assert lines[1].split() == "format rounding overflow nan width cases mismatches known examples".split()
    assert [line.split()[:5] for line in lines[2:-1]] == [
        ["e2m1", "ties-to-even", "saturate", nan, "32"] for nan in ("keep", "zero", "negative-zero", "max")
    ]
    assert lines[-1].startswith("4 rows, ")
    assert lines[-1].endswith(" cases: 0 mismatches")


def test_a_wrong_backend_fails_and_the_number_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapters, "find", lambda name: OffByOne())
    assert conformance("--backend", "off", *QUICK) == 1
    out = capsys.readouterr().out
    assert "# unknown: e2m1, ties-to-even, saturate, float32: tie: 0.25 gave 0.5, not 0\n" in out
    assert out.splitlines()[-1].endswith("0 known, 7 unknown")


def test_known_deviations_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance("--backend", "ml_dtypes", *QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "# known: nan-to-negative-zero (21)" in lines
    assert lines[-2].endswith("21     21  nan: nan gave -0, not nan [nan-to-negative-zero]")
    assert lines[-1].endswith("21 mismatches, 21 known, 0 unknown")


def test_a_third_party_backend_is_found(plain_backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance("--backend", plain_backend, *QUICK) == 0
    assert capsys.readouterr().out.startswith("# plain, quick cases")


def test_machine_readable_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--backend", "torch-cast", "--format", "e5m2", "--width", "64", "--quick")
    assert conformance(*words, "--json") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    row = document["rows"][0]
    assert (row["format"], row["width"], row["unknown"]) == ("e5m2", 64, 0)
    assert row["mismatches"] == sum(row["classes"].values()) == sum(row["known"].values()) > 0
    assert "mismatches" in printed.err
    assert conformance(*words, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [int(r["mismatches"]) for r in rows] == [r["mismatches"] for r in document["rows"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--backend mlx", "no backend 'mlx'; there are numba"),
        ("--backend torch-cast --format e2m1 --quick", "torch-cast has no e2m1; it has e4m3,"),
        ("--backend gfloat --rounding to-odd", "backend 'gfloat' has no rounding 'to-odd'"),
        ("--backend numpy --format mxfp4", "mxfp4 is a block format, which backends see as its elements; give e2m1"),
        ("--backend numpy --format tf32", "tf32 has 19 bits"),
        ("--backend numpy --format int8 --overflow special", "nothing to compare"),
        ("--backend numpy --rounding nearest", "rounding 'nearest' does not say what happens to ties"),
        ("--backend numpy --quick --full", "--quick and --full exclude each other"),
    ],
)
def test_bad_input_is_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance(*words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {message}")
    assert printed.err.count("\n") == 1


def test_a_library_that_is_not_installed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, adapters.ADAPTERS["gfloat"][0], raising=False)
    monkeypatch.setitem(sys.modules, "gfloat", None)
    assert conformance("--backend", "gfloat") == 2
    assert capsys.readouterr().err == "error: backend 'gfloat' needs gfloat; pip install gfloat brings it\n"


@pytest.mark.parametrize("words", ["conformance --help", "vectors --help"])
def test_help_imports_nothing_heavy(words: str) -> None:
    assert heavy(loaded_by(*words.split())) == set()


def test_the_facts_are_package_data() -> None:
    folder = Path(adapters.__file__).parents[1]
    assert (folder / "deviations.toml").is_file()
    import tomllib

    project = tomllib.loads((folder.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["package-data"]["fpsim.conformance"] == ["*.toml"]
