"""The exhaustive check passes in its quick form, finds a single wrong tie, and goes on where it stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import fpsim

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import exhaustive_float32 as exhaustive  # noqa: E402
from exhaustive_cases import CASTS, Case, cases  # noqa: E402
from exhaustive_oracle import SIGN, cast, self_check, staircase  # noqa: E402

from fpsim.number.conversion import Conversion  # noqa: E402

#: A format with one row, and few boundaries.
SMALL = "chen-e2m1"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder, in larger steps, and with the threads that other tests want afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(exhaustive, "QUICK_STEP", 65537)
    threads = numba.get_num_threads()
    yield
    numba.set_num_threads(threads)


def one_wrong_tie(x: np.ndarray, case: Case, out: np.ndarray) -> None:
    """To nearest even, but 1.25, a tie between 1 and 1.5, goes up."""
    fpsim.quantize(x, case.fmt, out=out)
    out[x == 1.25] = 1.5


def test_a_quick_run_passes(tmp_path: Path) -> None:
    command = [sys.executable, str(EXPERIMENTS / "exhaustive_float32.py"), "--quick", "--only", SMALL, "--only", "e3m0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    header, first, row, totals = done.stdout.splitlines()
    assert header.split() == ["format", "rounding", "overflow", "oracle", "inputs", "mismatches", "seconds"]
    inputs = row.split()[4]
    assert int(inputs.replace(",", "")) > 2**32 // 257
    assert row.split()[:6] == [SMALL, "ties-to-even", "saturate", "exact", inputs, "0"]
    assert first.startswith("e3m0")  # two processes, but in the order of the table
    assert totals.split()[:2] == ["2", "rows"]
    assert totals.split()[3] == "0"
    assert not (tmp_path / "runs").exists()


def test_a_wrong_tie_is_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--quick", "--only", SMALL]
    assert exhaustive.main(arguments) == 0
    capsys.readouterr()
    monkeypatch.setattr(exhaustive, "rounded", one_wrong_tie)
    assert exhaustive.main(arguments) == 1
    _, row, example, totals = capsys.readouterr().out.splitlines()
    assert row.split()[5] == "1"
    assert example.strip() == "0x3fa00000 (1.25) became 0x3fc00000 (1.5), wanted 0x3f800000 (1.0)"
    assert totals.split()[3] == "1"


@pytest.mark.parametrize("doctored", ["sign of zero", "NaN", "Inf"])
def test_other_mistakes_are_found(doctored: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(x: np.ndarray, case: Case, out: np.ndarray) -> None:
        fpsim.quantize(x, case.fmt, out=out, **case.policies)
        where = {"sign of zero": out.view(np.uint32) == SIGN, "NaN": np.isnan(x), "Inf": np.isinf(x)}[doctored]
        out[where] = 0

    monkeypatch.setattr(exhaustive, "rounded", mistaken)
    for case in (cases()[0], next(c for c in cases() if c.format == "e4m3" and c.library is None)):
        row = exhaustive.check(case, quick=True)
        assert row.mismatches > 0
        assert len(row.examples) == min(row.mismatches, exhaustive.SHOWN)


def test_finished_rows_are_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checked = []

    def counted(case: Case, quick: bool) -> Any:
        checked.append(case)
        return check(case, True)

    check = exhaustive.check
    monkeypatch.setattr(exhaustive, "check", counted)
    arguments = ["--only", "int4", "--only", "e3m0", "--jobs", "1"]
    assert exhaustive.main(arguments) == 0
    first = capsys.readouterr().out
    exhaustive.KEPT.write_text(exhaustive.KEPT.read_text() + '\n{"key": "interrup')
    assert exhaustive.main(arguments) == 0
    assert capsys.readouterr().out == first
    assert [case.format for case in checked] == ["e3m0", "int4"]
    monkeypatch.setattr(exhaustive, "code_key", lambda: "of other code")
    assert exhaustive.main(arguments) == 0
    assert exhaustive.main(arguments) == 0
    assert len(checked) == 4


def test_kept_mismatches_still_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(case for case in cases() if case.format == "int4")
    row = {"format": "int4", "rounding": "ties-to-even", "overflow": "saturate", "oracle": "exact"}
    row |= {"inputs": 1, "mismatches": 1, "seconds": 1.0, "examples": ["a"]}
    exhaustive.KEPT.parent.mkdir()
    exhaustive.KEPT.write_text(json.dumps({"key": exhaustive.code_key(), "row": row}) + "\n")
    monkeypatch.setattr(exhaustive, "cases", lambda: [case])
    assert exhaustive.main([]) == 1


def test_unknown_formats_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        exhaustive.main(["--only", "e9m9"])
    assert stopped.value.code == 2
    assert "no rows of e9m9" in capsys.readouterr().err


@pytest.mark.parametrize("step", [1, 257, 65537])
def test_pieces_follow_each_other_from_the_first_number_to_the_last(step: int) -> None:
    spans = list(exhaustive.spans(step))
    assert spans[0][0] == 0
    assert [first + size * step for first, size in spans[:-1]] == [first for first, _ in spans[1:]]
    first, size = spans[-1]
    assert first + (size - 1) * step < 1 << 32 <= first + size * step
    assert max(size for _, size in spans) == exhaustive.PIECE or step == 65537


def test_pieces_hold_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhaustive, "PIECE", 1 << 13)
    near, *rest = (piece.copy() for piece in exhaustive.pieces(cases()[0], quick=True))
    assert np.array_equal(np.concatenate(rest), np.arange(0, 1 << 32, 65537))
    wide = near.astype(np.int64)
    assert np.all(np.diff(wide) > 0)
    for pattern in np.array([0.0, -0.0, 2.0**-10, 1.0625, -448, 464, np.inf, -np.inf], np.float32).view(np.uint32):
        assert pattern in near
    for value in (1.0625, 464, -464):
        assert {int(np.float32(value).view(np.uint32)) + step for step in (-1, 1)} <= set(wide.tolist())


def test_the_oracles_agree_with_each_other() -> None:
    patterns = np.unique(np.random.default_rng(0).integers(0, 1 << 32, 1 << 16).astype(np.uint32))
    for case in cases():
        if case.library and case.fmt.bits <= 8:
            theirs, exact = cast("", CASTS[case.format], case.fmt.bits, case.how), staircase(case.fmt, case.how)
            wanted = np.array([theirs.wanted(int(p)) for p in patterns[::64]], np.uint32)
            assert not exact.wrong(patterns[::64], wanted).size, case.format


def test_a_wrong_staircase_is_found() -> None:
    fmt, how = fpsim.format("e2m1"), Conversion()
    good = staircase(fmt, how)
    self_check(good, fmt, how)
    good.answers[0] ^= 1
    with pytest.raises(RuntimeError, match="staircase is wrong"):
        self_check(good, fmt, how)
