"""The benchmark of the search runs, and its three methods find the same candidate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench" / "bench_search.py"


def run(folder: Path, *words: str) -> str:
    command = [sys.executable, str(BENCH), "--quick", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_tensor(tmp_path: Path) -> None:
    rows = [line.split() for line in run(tmp_path).splitlines()[2:]]
    assert len(rows) == 3
    assert len({row[-2] for row in rows}) == 1  # the argmin
    assert all(float(row[-1]) < 1e-3 for row in rows)


def test_a_unet(tmp_path: Path) -> None:
    text = run(tmp_path, "--sd15")
    assert "444 candidates each" in text
    assert "chosen: e2m5" in text
