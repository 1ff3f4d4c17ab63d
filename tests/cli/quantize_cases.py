"""Tensors, and what the tests of ``fpsim quantize`` share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from fpsim.cli.main import run

rng = np.random.default_rng(0)
TENSORS = {
    "conv.weight": rng.standard_normal((4, 3, 2, 2)).astype(np.float32),
    "conv.bias": np.ones(4, np.float32),
    "linear.weight": rng.standard_normal((5, 40)).astype(np.float16),
    "half.weight": rng.standard_normal((3, 33)).astype(ml_dtypes.bfloat16),
    "wide": rng.standard_normal((2, 9)),
    "steps": np.arange(6).reshape(2, 3),
    "fp8": np.ones((2, 2), ml_dtypes.float8_e4m3fn),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(2.0, np.float32),
}
QUANTIZED = ("conv.weight", "linear.weight", "half.weight", "wide")


def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the tensors to a file in the working folder, which becomes ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    save_file(TENSORS, tmp_path / "in.safetensors", metadata={"format": "pt"})
    return tmp_path / "in.safetensors"


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """What the verb prints as JSON."""
    assert run(["quantize", *words, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def same(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
