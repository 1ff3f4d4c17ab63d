"""The benchmark against other libraries counts what differs, keeps its rows and leaves the environment alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch

import fpsim

BENCH = Path(__file__).resolve().parents[1] / "bench"
sys.path.insert(0, str(BENCH))

from peers import install, timing, with_fpsim  # noqa: E402
from peers.case import DECODE, ENCODE, FORMATS, ROUND, Absent, Case  # noqa: E402
from peers.compare import Top, Unlike, unlike  # noqa: E402
from peers.measure import Bench, Row  # noqa: E402
from peers.table import table, verdict  # noqa: E402


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = numba.get_num_threads(), torch.get_num_threads()
    yield
    numba.set_num_threads(before[0])
    torch.set_num_threads(before[1])


def doctored(x: np.ndarray) -> Any:
    """Rounds e2m1 as fpsim does, without signs of zero, with ties away from zero, NaN beyond 4, two mistakes."""
    y = fpsim.quantize(x, "e2m1") + np.float32(0)
    y[np.abs(x) == 2.5] = np.copysign(np.float32(3), x[np.abs(x) == 2.5])
    y[np.abs(x) > 4] = np.nan
    y[x == 1] = 1.5
    y[x == 3] = 0
    return lambda: y


def broken(x: np.ndarray) -> Any:
    raise RuntimeError("no such format\nand more")


def test_mismatches_are_counted_by_cause() -> None:
    x = np.array([-0.1, 2.5, -2.5, 5.0, 1.0, 0.5, 3.0], np.float32)
    found = unlike(fpsim.quantize(x, "e2m1"), doctored(x)(), x, 4)
    assert found == Unlike(zeros=1, ties=2, beyond=1, other=2)
    assert str(found) == "6 (1 zero's sign, 2 ties, 1 beyond its max, 2 other)"


def test_another_type_is_no_result() -> None:
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match="float64"):
        unlike(x, x.astype(np.float64), x)


def test_a_pass_checks_times_and_survives_failures() -> None:
    x = np.random.default_rng(0).standard_normal(1 << 12, np.float32)
    x[:7] = [-0.1, 2.5, -2.5, 5.0, 1.0, 0.5, 3.0]
    cases = [
        with_fpsim.ready_case("e2m1", ROUND),
        Case(peer="doctored", call="round", fmt="e2m1", make=doctored),
        Case(peer="broken", call="round", fmt="e2m1", make=broken),
    ]
    rows = Bench(x=x, rounds=1).run(cases)
    by_peer = {row.case.peer: row for row in rows if isinstance(row, Row) and row.case.kind == ROUND}
    own, theirs = by_peer[with_fpsim.NAME], by_peer["doctored"]
    assert own.unlike == Unlike()
    assert own.top == Top(6, 6)
    assert own.to_fpsim == 1
    assert theirs.top is not None
    assert theirs.top.value == 4
    assert theirs.unlike is not None
    zeros = np.count_nonzero((x < 0) & (x >= -0.25))
    assert theirs.unlike == Unlike(zeros=zeros, ties=2, beyond=np.count_nonzero(np.abs(x) > 4), other=2)
    assert Absent(peer="broken", call="round", fmt="e2m1", reason="RuntimeError: no such format") in rows
    text = table("1 thread", rows)
    assert all(name in text for name in (with_fpsim.NAME, "doctored", "copy", "FAILED: RuntimeError: no such format"))
    assert verdict(rows).startswith(("goals: 0 of 1 met", "goals: 1 of 1 met"))


def test_fpsim_has_all_its_rows() -> None:
    found = {(case.kind, case.fmt, case.rounding, case.out) for case in with_fpsim.cases()}
    kinds = {(kind, fmt, "ties-to-even", out) for kind in (ROUND, ENCODE, DECODE) for fmt in FORMATS for out in (0, 1)}
    modes = {(ROUND, fmt, mode, True) for fmt in FORMATS[:4] for mode in with_fpsim.MODES}
    assert found == kinds | modes
    goals = {case.fmt: case.goal for case in with_fpsim.cases() if case.kind == ROUND and case.call.endswith("out=y)")}
    assert goals == {"e4m3": 1.25, "e5m2": 1.25, "e2m1": 1.25, "e3m4": 1.25, "mxfp4": 1.5, "nvfp4": 2}


def test_peers_are_pinned_and_bring_no_torch() -> None:
    names = [line.partition("==")[0].lower() for line in install.pinned() if "==" in line]
    assert len(names) == len(install.pinned())
    assert not {"torch", "numpy", "numba"} & set(names)


def test_another_folder_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(SystemExit, match="not a folder of peers"):
        install.main(tmp_path)
    assert (tmp_path / "mine").exists()


def test_the_device_pass_compares_with_a_copy_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "device_clock", timing.host_clock)  # events need a device
    x = np.random.default_rng(0).standard_normal(1 << 12, np.float32)
    rows = Bench(x=x, rounds=1, device="cpu:0").run(with_fpsim.device_cases()[2:3])
    assert [row.case.peer for row in rows if isinstance(row, Row)] == ["copy", "copy", with_fpsim.NAME]
    own = rows[-1]
    assert isinstance(own, Row)
    assert (own.unlike, own.to_fpsim, own.goal) == (Unlike(), 1, 1 / 0.85)
