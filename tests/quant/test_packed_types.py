"""Types that NumPy or torch lack, in packed files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from packed_cases import entry, values, write_raw

from fpsim import FpsimError, Quantizer, load_packed, save_packed


def test_bfloat16_needs_ml_dtypes_or_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, q = values((2, 3), ml_dtypes.bfloat16), Quantizer("e4m3", scale="max")
    save_packed(tmp_path / "a.safetensors", {"x": x}, q)
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(FpsimError, match="install ml_dtypes, or load with framework='torch'"):
        load_packed(tmp_path / "a.safetensors")
    back = load_packed(tmp_path / "a.safetensors", framework="torch")["x"]
    assert back.float().numpy().tolist() == q(x).astype(np.float32).tolist()


@pytest.mark.parametrize("framework", ["numpy", "torch"])
def test_other_types_name_themselves(framework: str, tmp_path: Path) -> None:
    save_packed(tmp_path / "a.safetensors", {}, {})
    raw = (tmp_path / "a.safetensors").read_bytes()
    metadata = json.loads(raw[8:])["__metadata__"]
    write_raw(tmp_path / "a.safetensors", {"__metadata__": metadata, "y": entry("F4", [2], 0, 1)}, b"1")
    with pytest.raises(FpsimError, match="no type for safetensors' F4; leave the tensor out"):
        load_packed(tmp_path / "a.safetensors", framework=framework)  # type: ignore[arg-type]
