"""Unsigned integers with a zero point: equation 4 of Chen et al. 2024, as corrected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from quant_checks import rows

import fpsim
from fpsim.quant.scales import fit


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
