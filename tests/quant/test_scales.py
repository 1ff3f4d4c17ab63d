"""Scale rules, each against a plain evaluation of its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fpsim
from fpsim import PerChannel, Quantizer
from fpsim.errors import FpsimError
from fpsim.quant.quantizer import effective_scale
from fpsim.quant.scales import CANDIDATES, Scales, fit

SIGNED = ("e2m1", "e4m3", "chen-e3m4", "int4", "int8-full", "nf4", "e3m0", "int8-q6", "e5m2")
REAL_BIAS = fpsim.format("e3m4", bias=6.37)
FORMATS = [*map(fpsim.format, SIGNED), REAL_BIAS, fpsim.format("e3m2", subnormals=False)]
ids = [f"{fmt.name}-{getattr(fmt, 'bias', '')}" for fmt in FORMATS]


def rows(seed: int = 0, shape: tuple[int, int] = (3, 200), dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_t(4, shape).astype(dtype)


def top(fmt: Any) -> float:
    """The largest value, its own scale included."""
    return float(fmt.grid.max) * fmt.scale(64)


def rounded(x: Any, fmt: Any, scale: Any) -> Any:
    """``s · round(x / s)`` with the format's own scale in ``s``, by the codec's unscaled rounding."""
    s = effective_scale(np.asarray([scale], x.dtype), fmt)[0]
    return fpsim.quantize(x / s, fmt.grid, backend="numpy") * s


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", FORMATS, ids=ids)
def test_max_maps_the_largest_magnitude_to_the_largest_value(fmt: Any, dtype: Any) -> None:
    x = rows(dtype=dtype)
    wanted = (np.abs(x).max(axis=1).astype(np.float64) / top(fmt)).astype(dtype)
    assert np.array_equal(fit(x, fmt, "max").scale, wanted)


@pytest.mark.parametrize(
    ("rule", "percent"), [("percentile", 99.9), ("percentile:95", 95.0), ("percentile:100", 100.0)]
)
def test_percentile_is_numpys(rule: str, percent: float) -> None:
    x, fmt = rows(), fpsim.format("e4m3")
    low, high = (np.percentile(x.astype(np.float64), p, axis=1) for p in (100 - percent, percent))
    wanted = (np.maximum(np.abs(low), np.abs(high)) / 448).astype(np.float32)
    assert np.array_equal(fit(x, fmt, rule).scale, wanted)


def test_percentile_100_is_max() -> None:
    x = rows(7)
    for name in ("e4m3", "uint8"):
        ours, theirs = fit(x, fpsim.format(name), "percentile:100"), fit(x, fpsim.format(name), "max")
        assert np.array_equal(ours.scale, theirs.scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("fmt", FORMATS, ids=ids)
def test_mse_is_the_best_of_111_candidates(fmt: Any, dtype: Any) -> None:
    for row in rows(seed=1, dtype=dtype):
        amax = float(np.abs(row).max())
        candidates = [(amax * fraction / top(fmt)) for fraction in np.linspace(0.1, 1.2, 111)]
        errors = [
            float(np.square(row.astype(np.float64) - rounded(row, fmt, np.asarray(s, dtype))).sum()) for s in candidates
        ]
        chosen = fit(row[None], fmt, "mse").scale[0]
        places = [i for i, s in enumerate(candidates) if np.asarray(s, dtype) == chosen]
        assert places, "the scale is one of the candidates"
        # Sums in another order differ in the last bits, so that of two equally good candidates either may win.
        assert errors[places[0]] <= min(errors) * (1 + 1e-5)


def test_there_are_111_candidates_from_a_tenth_to_six_fifths() -> None:
    assert len(CANDIDATES) == 111
    assert (CANDIDATES[0], CANDIDATES[-1]) == (0.1, 1.2)
    assert np.allclose(np.diff(CANDIDATES), 0.01)


@pytest.mark.parametrize("magnitude", [1e-36, 1e-25, 1e25, 1e37])
@pytest.mark.parametrize("name", ["e2m1", "uint4", "nf4"])
def test_mse_does_not_depend_on_the_magnitude(name: str, magnitude: float) -> None:
    x, factor = rows(2), np.float32(2.0 ** round(math.log2(magnitude)))
    near, far = (fit(values, fpsim.format(name), "mse") for values in (x, x * factor))
    assert np.array_equal(near.scale * factor, far.scale)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("shift", [-10.0, -1.0, 0.0, 0.5, 10.0])
def test_eq4_zero_point_by_max(bits: int, shift: float) -> None:
    x, fmt = rows(3) + np.float32(shift), fpsim.format(f"uint{bits}")
    q = fpsim.Quantizer(fmt, fpsim.PerChannel(0), scale="max").fit(x)
    for row, s, z, y in zip(x, q.scales.scale, q.scales.zero_point, q(x), strict=True):
        low, high = min(float(row.min()), 0.0), max(float(row.max()), 0.0)
        assert s == np.float32((high - low) / (2**bits - 1))
        assert z == min(max(-round(low / float(s)), 0), 2**bits - 1)
        codes = np.clip(np.rint(row / s) + z, 0, 2**bits - 1)
        assert np.array_equal(y, (codes - z) * s)
        assert 0.0 in (codes - z) * s or (row != 0).all()  # zero is exact: the range was extended to it


def test_eq4_mse_is_the_best_of_its_candidates() -> None:
    fmt = fpsim.format("uint4")
    for row in rows(4) + np.float32(1):
        low, high = min(float(row.min()), 0.0), max(float(row.max()), 0.0)
        errors = {}
        for fraction in np.linspace(0.1, 1.2, 111):
            s = np.float32((high - low) * fraction / 15)
            z = np.float32(np.clip(-np.rint(low * fraction / float(s)), 0, 15))
            y = (np.clip(np.rint(row / s) + z, 0, 15) - z) * s
            errors[float(s), float(z)] = float(np.square(row.astype(np.float64) - y).sum())
        found = fit(row[None], fmt, "mse")
        assert errors[float(found.scale[0]), float(found.zero_point[0])] <= min(errors.values()) * (1 + 1e-5)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, (2, 9), elements=st.floats(-1e6, 1e6, width=32)), st.sampled_from(["uint3", "uint8"]))
def test_eq4_property(x: Any, name: str) -> None:
    fmt = fpsim.format(name)
    if ((x != 0) & (np.abs(x) < 1e-30)).any():
        return  # scales of such rows are refused; that is another test
    q = fpsim.Quantizer(fmt, fpsim.PerChannel(0), scale="max").fit(x)
    y, s, z = q(x), q.scales.scale[:, None], q.scales.zero_point[:, None]
    codes = y / s + z
    assert np.allclose(codes, np.rint(codes), atol=1e-3)
    assert codes.min() >= -1e-3
    assert codes.max() <= fmt.hi + 1e-3
    # The zero point is rounded: both ends of the range may lie up to half a step outside the grid.
    assert (np.abs(y - x) <= s * 1.001).all()
    assert (y[x == 0] == 0).all()


@pytest.mark.parametrize("rule", ["max", "percentile", "mse", "none"])
@pytest.mark.parametrize("name", ["e2m1", "int4", "uint4", "nf4"])
def test_a_row_of_zeros_has_scale_1(name: str, rule: str) -> None:
    x = rows(5)
    x[1] = 0
    found = fit(x, fpsim.format(name), rule)
    assert found.scale[1] == 1
    assert found.zero_point is None or found.zero_point[1] == 0
    assert not fpsim.Quantizer(name, fpsim.PerChannel(0), rule)(x)[1].any()


def test_none_leaves_the_format_as_it_is() -> None:
    x = rows(6) * np.float32(50)
    for name in ("bfloat16", "e4m3", "int8", "uint8"):
        wanted = fpsim.quantize(x, name)
        assert np.array_equal(fpsim.Quantizer(name, scale="none")(x), wanted), name
    assert np.array_equal(fpsim.Quantizer(REAL_BIAS, scale="none")(x), fpsim.quantize(x, REAL_BIAS))


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
