"""``fpsim simulate`` interrupted at any time goes on where it stopped, and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from simulate_checks import PAIRS, SMALL, results, simulate

from fpsim.cli import simulate_run


class Stop:
    """Interrupts at the n-th report of progress."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.left, self.original = at, simulate_run.Bar.__call__
        monkeypatch.setattr(simulate_run.Bar, "__call__", lambda bar, *told: self.report(bar, *told))

    def report(self, bar: Any, *told: Any) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        self.original(bar, *told)


# Reports: 2 batches of 2 steps in full precision, 2 of calibration, 4 of each pair.
@pytest.mark.parametrize(
    ("at", "batches"), [(1, 7), (3, 6), (5, 5), (7, 4), (9, 3), (11, 2), (14, 1)], ids=lambda value: str(value)
)
def test_an_interrupted_run_goes_on_where_it_stopped(
    at: int, batches: int, model: Path, whole: Path, here: Path, sampled: list[Any],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with monkeypatch.context() as patch:
        Stop(patch, at)
        assert simulate(model, *PAIRS) == 130
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith("#")]
    assert lines == ["interrupted; finished batches are kept in run: run the same command to go on"]
    assert printed.out == ""
    assert not (here / "run/run.json").exists()
    sampled.clear()
    assert simulate(model, *PAIRS) == 0
    assert len(sampled) == batches
    assert results(here / "run") == results(whole)


def test_an_interruption_between_sampling_and_measuring(
    model: Path, whole: Path, here: Path, sampled: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fpsim.methods.run_row.measure_layers", stop)
        assert simulate(model, *PAIRS) == 130
    sampled.clear()
    assert simulate(model, *PAIRS) == 0
    assert len(sampled) == 2  # only the second pair's
    assert results(here / "run") == results(whole)


def _process(model: Path, here: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "fpsim", "simulate", "--model", str(model), *SMALL, *PAIRS, "--out", "run"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as in this process: it decides the last bits
    return subprocess.Popen(words, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.002)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL], ids=lambda kind: kind.name)
def test_a_process_that_is_stopped_loses_nothing_finished(
    kind: signal.Signals, model: Path, whole: Path, here: Path, sampled: list[Any]
) -> None:
    process = _process(model, here)
    _wait_for(here / "run/resume/full precision/batch-00000.npz", process)
    process.send_signal(kind)
    out, err = process.communicate(timeout=60)
    finished = len(list((here / "run/resume").glob("*/batch-*.npz")))
    assert finished >= 1
    assert out == ""
    if kind is signal.SIGINT:
        assert process.returncode == 130, err
        assert [line for line in err.splitlines() if not line.startswith("#")] == [
            "interrupted; finished batches are kept in run: run the same command to go on"
        ]
    else:
        assert process.returncode == -signal.SIGKILL
    assert simulate(model, *PAIRS) == 0
    calibrated = 1  # at most; the calibration's batch is no file of its own
    assert 6 - finished <= len(sampled) <= 6 - finished + calibrated
    assert results(here / "run") == results(whole)


def test_overwrite_starts_afresh_only_where_the_run_is_another(model: Path, here: Path) -> None:
    assert simulate(model, "--quant", "e4m3/e4m3") == 0
    first = (here / "run" / "run.json").read_bytes()
    assert simulate(model, "--quant", "e4m3/e4m3", "--overwrite") == 0
    assert (here / "run" / "run.json").read_bytes() == first
    assert simulate(model, "--quant", "int4/int8") == 2
    assert simulate(model, "--quant", "int4/int8", "--overwrite") == 0
    assert not (here / "run" / "images" / "e4m3_e4m3.npz").exists()
    assert (here / "run" / "run.json").read_bytes() != first
