"""Tensors and formats without a scale, and those that need none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from quant_checks import rows

import fpsim
from fpsim import PerChannel, Quantizer
from fpsim.errors import FpsimError
from fpsim.quant.scales import Scales, fit

BAD = {
    "nan": (np.array([[1.0, np.nan]], np.float32), "e4m3", "max", "holds NaN or Inf"),
    "inf": (np.array([[1.0, -np.inf]], np.float32), "e4m3", "mse", "holds NaN or Inf"),
    "subnormal": (np.array([[1e-40, 0.0]], np.float32), "e4m3", "max", "no positive normal float32"),
    "subnormal mse": (np.array([[1e-40, 0.0]], np.float32), "e4m3", "mse", "no positive normal float32"),
    "scale below the normals": (np.array([[1e-37]], np.float32), "e4m3", "max", "no positive normal float32"),
    "unsigned, subnormal": (np.array([[1e-40, 0.0]], np.float32), "uint8", "max", "no positive normal float32"),
    "unsigned, too wide": (np.array([[-1.7e308, 1.7e308]]), "uint2", "max", "no positive normal float64"),
    "wide format": (np.array([[1e-38, 1e-39]], np.float32), "bfloat16", "max", "no scale"),
    "sparse": (np.array([[0.0] * 5000 + [3.0]], np.float32), "e4m3", "percentile", "so many zeros"),
    "sparse, unsigned": (np.array([[0.0] * 5000 + [3.0]], np.float32), "uint4", "percentile", "use max or mse"),
    "rule": (np.ones((1, 2), np.float32), "e4m3", "mode", "'mode' is not one of max"),
    "percent": (np.ones((1, 2), np.float32), "e4m3", "percentile:50", "'percentile:50' is not one of"),
    "no percent": (np.ones((1, 2), np.float32), "e4m3", "percentile:x", "'percentile:x' is not one of"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_has_no_scale_is_named(case: str) -> None:
    x, name, rule, wanted = BAD[case]
    with pytest.raises(FpsimError, match=wanted) as caught:
        fit(x, fpsim.format(name), rule, name="mid.conv.weight")
    assert "\n" not in str(caught.value)
    if "rule" not in str(caught.value):
        assert "mid.conv.weight" in str(caught.value)


@pytest.mark.parametrize("bias", [3000, -3000])
def test_formats_beyond_float64_have_no_scale(bias: int) -> None:
    with pytest.raises(FpsimError, match="largest value of e2m1 is beyond float64"):
        fit(rows(), fpsim.format("e2m1", bias=bias), "max")


@pytest.mark.parametrize(
    ("scale", "zero_point"),
    [
        (np.array([0.0], np.float32), None),
        (np.array([-1.0], np.float32), None),
        (np.array([np.inf], np.float32), None),
        (np.array([1e-40], np.float32), None),
        (np.array([1]), None),
        (np.array([[1.0]]), None),
        (1.0, None),
        (np.array([1.0]), np.array([0.5])),
        (np.array([1.0]), np.array([1.0, 2.0])),
    ],
)
def test_scales_are_positive_normal_numbers(scale: Any, zero_point: Any) -> None:
    with pytest.raises(FpsimError, match=r"scale|zero points"):
        Scales(scale, zero_point)


@pytest.mark.parametrize("name", ["bfloat16", "tf32", "binary32", "e8m3", "e8m7"])
@pytest.mark.parametrize("rule", ["max", "percentile", "mse"])
def test_formats_as_wide_as_float32_need_no_scale(name: str, rule: str) -> None:
    """No normal float32 brings ordinary values to their top, and they hold the values without one."""
    x = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    q = Quantizer(name, PerChannel(0), rule).fit(x)
    assert q.scales is not None
    error = np.abs(q(x) - x).max() / np.abs(x).max()
    assert error <= 2.0 ** -(fpsim.format(name).mantissa_bits + 1)
    assert (q.scales.scale == 1).all() or rule == "mse"


def test_mse_leaves_out_candidates_whose_top_overflows() -> None:
    x = np.array([3e38, 0, -3.4e38], np.float32)
    assert np.isfinite(Quantizer("e4m3")(x)).all()
