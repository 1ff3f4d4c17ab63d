"""Scales in packed files: fixed ones, and none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from packed_cases import values
from quantizer_checks import same
from safetensors.numpy import load_file

import fpsim
from fpsim import FpsimError, PerChannel, Quantizer, load_packed, save_packed
from fpsim.quant.scales import Scales


def test_fixed_scales_and_zero_points_are_kept(tmp_path: Path) -> None:
    x = values((4, 9), np.float32)
    scales = Scales(np.float32([0.3, 0.1, 2, 0.05]), np.float32([0, 3, 15, 8]))
    q = Quantizer("uint4", PerChannel(0), scales=scales)
    save_packed(tmp_path / "a.safetensors", {"x": x}, q)
    assert same(load_packed(tmp_path / "a.safetensors")["x"], q(x))
    assert load_file(tmp_path / "a.safetensors")["x.zero_points"].tolist() == [0, 3, 15, 8]
    outside = Quantizer("uint4", PerChannel(0), scales=Scales(scales.scale, np.float32([0, 3, -1, 8])))
    with pytest.raises(FpsimError, match="'x': a zero point lies outside"):
        save_packed(tmp_path / "b.safetensors", {"x": x}, outside)
    assert not (tmp_path / "b.safetensors").exists()


def test_fixed_scales_of_another_width_are_rounded_first(tmp_path: Path) -> None:
    x, scales = values((40, 9), np.float32), Scales(np.linspace(0.1, 0.3, 40))
    q = Quantizer("e3m2", PerChannel(0), scales=scales)
    save_packed(tmp_path / "a.safetensors", {"x": x}, q)
    assert same(load_packed(tmp_path / "a.safetensors")["x"], q(x))


def test_no_scales_take_no_bytes(tmp_path: Path) -> None:
    x = values((4, 9), np.float32)
    save_packed(tmp_path / "a.safetensors", {"x": x}, Quantizer("e4m3", PerChannel(0), "none"))
    assert load_file(tmp_path / "a.safetensors").keys() == {"x.codes"}
    assert same(load_packed(tmp_path / "a.safetensors")["x"], fpsim.quantize(x, "e4m3"))
