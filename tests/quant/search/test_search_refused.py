"""What the search refuses, in one line each, and what it makes of zeros and extremes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fpsim
from fpsim import FpsimError, PerBlock, PerChannel, search_format
from fpsim.quant.search.errors import errors_at, levels
from fpsim.quant.search.kernels import STEP
from fpsim.quant.search.magnitudes import magnitudes

X = np.array([[1.0, -2.0], [3.0, 0.5]])

BAD: dict[str, tuple[Any, dict[str, Any], str]] = {
    "empty": (np.empty((0, 3)), {}, "the tensor of shape (1, 0) has no values"),
    "nan": (np.array([1, np.nan]), {}, "the tensor holds NaN or Inf"),
    "inf": (np.array([1, -np.inf]), {"name": "conv.weight"}, "conv.weight holds NaN or Inf"),
    "integers": (np.arange(3), {}, "values of type int64 cannot be rounded"),
    "no array": ([1.0, 2.0], {}, "an array or a tensor is needed, not list"),
    "one bit": (X, {"bits": 1}, "a search over 1 bits is not possible; give 2 to 16"),
    "no integer": (X, {"bits": 8.0}, "a search over 8.0 bits"),
    "too wide": (X, {"bits": 17}, "a search over 17 bits"),
    "encoding": (X, {"encodings": ["e4m3", "e4m3-fn"]}, "encoding 'e4m3-fn' is no all-finite eXmY"),
    "exponent": (X, {"encodings": ["e0m3"]}, "encoding 'e0m3'"),
    "width": (X, {"encodings": ["e8m8"]}, "X + Y <= 15"),
    "no name": (X, {"encodings": [4]}, "encoding 4 is no"),
    "twice": (X, {"encodings": ["e4m3", "chen-e4m3"]}, "none twice"),
    "none": (X, {"encodings": []}, "give at least one"),
    "blocks": (X, {"granularity": PerBlock(2)}, "a search per block is not possible"),
    "axis": (X, {"granularity": PerChannel(5)}, "axis 5 does not exist"),
    "no maxima": (X, {"maxima": []}, "give one or more positive numbers"),
    "negative maximum": (X, {"maxima": [-1.0]}, "give one or more positive numbers"),
    "nan maximum": (X, {"maxima": [np.nan]}, "give one or more positive numbers"),
}


@pytest.mark.parametrize(("x", "options", "message"), BAD.values(), ids=BAD)
def test_refused(x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(FpsimError) as caught:
        search_format(x, **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_zeros() -> None:
    found = search_format(np.zeros((3, 2)))
    assert (found.format, found.mse, found.sqnr_db) == (fpsim.format("chen-e2m5"), 0, np.inf)
    assert not found.errors.any()
    assert search_format(np.zeros((3, 2)), granularity=PerChannel(0)).bias.tolist() == [2, 2, 2]


@pytest.mark.parametrize("power", [-1070, -1021, -500, 500, 1022])
def test_any_magnitude(power: int) -> None:
    x = np.ldexp(np.array([1.0, -0.7, 0.3]), power)
    found = search_format(x)
    usual = search_format(np.ldexp(x, -power))
    assert found.bias[0] == pytest.approx(usual.bias[0] - power, abs=1e-9)
    assert found.sqnr_db == pytest.approx(usual.sqnr_db)


@pytest.mark.parametrize("values", [[1e-45], [1e-45, -4e-45], [3.4e38, 1e-40], [2.0]])
def test_extreme_float32(values: list[float]) -> None:
    x = np.array(values, np.float32)
    assert search_format(x).sqnr_db > 35


def test_the_input_is_left_alone() -> None:
    x = X.astype(np.float32)
    before = x.copy()
    search_format(x, granularity=PerChannel(1))
    assert np.array_equal(x, before)


def test_one_candidate() -> None:
    found = search_format(X, encodings=["E4M3"], maxima=[1.0])
    assert found.errors.shape == (1, 1, 1)
    assert found.maximum[0] == 3
    assert found.format.name.startswith("e4m3 bias=")
    assert float(found.format.max) * found.format.scale(64) == pytest.approx(3, rel=1e-15)
    assert found.ranking() == [("e4m3", found.sqnr_db)]


@pytest.mark.parametrize("name", ["nf4", "int8-full", "uint4"])
def test_formats_that_are_not_symmetric(name: str) -> None:
    with pytest.raises(FpsimError, match="not symmetric about 0"):
        levels(fpsim.format(name))


def test_formats_that_are_too_wide_or_too_large() -> None:
    wide = fpsim.number.FloatFormat(name="wide", exponent_bits=5, mantissa_bits=11, bias=15)
    with pytest.raises(FpsimError, match="17 bits"):
        levels(wide)


def test_long_sums_keep_their_digits() -> None:
    """A plain sum of these loses five digits."""
    m = magnitudes(np.full((1, 1 << 21), 0.1, np.float32))
    exact = float(np.float32(0.1)) * (1 << 21)
    assert m.sums[0, -1] * 2.0 ** m.exponent[0] == exact
    odd = np.concatenate([np.full(1 << 20, 1e-9), np.full(1 << 20, 0.3)])
    m = magnitudes(odd[None])
    assert m.sums[0, -1] * 2.0 ** m.exponent[0] == pytest.approx(math.fsum(odd), rel=2.0**-52)


@pytest.mark.parametrize("n", [1, STEP - 1, STEP, STEP + 1, 3 * STEP, 5000])
def test_running_sums(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    m = magnitudes(x)
    for row in range(2):
        ordered = np.sort(np.abs(x[row])).astype(np.float64)
        unit = 2.0 ** float(m.exponent[row])
        assert np.array_equal(m.values[row] * unit, ordered)
        ends = m.counts[0]
        assert np.allclose(m.sums[row] * unit, np.append(0, np.cumsum(ordered))[ends], rtol=1e-15)
        assert m.energy[row] * unit * unit == pytest.approx(np.sum(ordered**2), rel=1e-15)
    got = errors_at(m, fpsim.format("int4"), np.full((2, 1), 0.25))
    want = [np.sum((r - fpsim.quantize(r / 0.25, "int4") * 0.25) ** 2) for r in x.astype(np.float64)]
    np.testing.assert_allclose(got[:, 0], want, rtol=1e-12)
