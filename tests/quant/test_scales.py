"""Scale rules, each against a plain evaluation of its definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from quant_checks import FORMATS, REAL_BIAS, ids, rounded, rows, top

import fpsim
from fpsim.quant.scales import CANDIDATES, fit


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
