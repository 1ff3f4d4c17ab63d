"""Runs a script of ``experiments/`` as a user does, in a folder of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    script, *rest = words
    command = [sys.executable, str(EXPERIMENTS / script), *rest]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
