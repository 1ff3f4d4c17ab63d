"""What the tests of ``fpsim simulate`` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fpsim.cli.main import run
from fpsim.report import jsonsafe

SMALL = ["--steps", "2", "--num-images", "3", "--batch-size", "2", "--calibration-images", "1", "--scale", "max"]
PAIRS = ("--quant", "e4m3/int8", "--quant", "int4/uint8")
ONE = ("--quant", "int8/int8")


def simulate(model: Path | str, *words: str, out: str = "run") -> int:
    """Run ``fpsim simulate`` on three images in two steps; later words win."""
    return run(["simulate", "--model", str(model), *SMALL, *words, "--out", out])


def results(folder: Path) -> dict[str, bytes]:
    """Everything that a run delivers."""
    files = [*(folder / "images").iterdir(), *(folder / name for name in ("run.json", "sheet.png", "report.html"))]
    return {file.name: file.read_bytes() for file in files}


def record(folder: str | Path = "run") -> dict[str, Any]:
    """The contents of a run's ``run.json``."""
    found: dict[str, Any] = jsonsafe.loads((Path(folder) / "run.json").read_text())
    return found


def images(name: str, folder: str | Path = "run") -> Any:
    """The images of a row."""
    with np.load(Path(folder) / "images" / f"{name}.npz", allow_pickle=False) as arrays:
        return arrays["arr_0"]


def refused(capsys: pytest.CaptureFixture[str], code: int, wanted: str) -> None:
    """Exit code 2, and one line on stderr after the header."""
    printed = capsys.readouterr()
    lines = [line for line in printed.err.splitlines() if not line.startswith("# ")]
    assert code == 2, printed.err
    assert len(lines) == 1, printed.err
    assert lines[0].startswith("error: ")
    assert wanted in lines[0]
    assert printed.out == ""
