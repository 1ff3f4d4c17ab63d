"""Exact facts of the paper's formats, through the codec and by closed-form integrals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from codec_cases import TWINS
from codec_oracle import oracle
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm

import fpsim
from fpsim.number import ElementFormat, FloatFormat, exact

MAXIMA = {
    "chen-e1m2": Fraction(7, 4),
    "chen-e2m1": Fraction(3),
    "chen-e4m3": Fraction(240),
    "e2m1": Fraction(6),
    "e4m3": Fraction(448),
    "e5m2": Fraction(57344),
    "e4m3-fnuz": Fraction(240),
    "e3m4-ieee": Fraction(31, 2),
}


@pytest.mark.parametrize(("name", "largest"), MAXIMA.items())
def test_largest_values(name: str, largest: Fraction) -> None:
    x = np.array([1e9, -np.inf], np.float32)
    for twin in TWINS:
        assert fpsim.quantize(x, name, backend=twin).tolist() == [largest, -largest]


@pytest.mark.parametrize("twin", TWINS)
def test_e1m2_is_int4_of_fifteen_levels_up_to_scale(twin: str) -> None:
    """Code for code but for −0: chen-e1m2 is int4 times 1/4."""
    x = np.concatenate([np.arange(-64, 65) / 8, np.random.default_rng(0).normal(size=4000) * 3]).astype(np.float32)
    integers = fpsim.quantize(x, "int4", backend=twin)
    floats = fpsim.quantize(x / 4, "chen-e1m2", backend=twin) * 4
    assert np.array_equal(integers, floats)
    assert sorted({abs(v) for v in oracle(fpsim.format("chen-e1m2")).values * 4}) == list(range(8))
    magnitudes = fpsim.encode(np.abs(x) / 4, "chen-e1m2").codes
    assert np.array_equal(magnitudes, fpsim.encode(np.abs(x), "int4").codes)


#: Signal-to-noise ratio in dB of N(0, 1) at the best clipping.
SQNR = {
    "int8": 40.54,
    "e2m5": 42.67,
    "e3m4": 37.56,
    "e4m3-none": 31.56,
    "e5m2-none": 25.58,
    "int4": 18.90,
    "e1m2": 18.90,
    "e2m1": 18.97,
}


def grid_values(fmt: ElementFormat) -> NDArray[np.float64]:
    """The format's values from the exact reference, ascending, scaled to a largest value of 1."""
    codes = range(1 << fmt.bits)
    if not isinstance(fmt, FloatFormat):
        codes = [c for c in codes if c != 1 << (fmt.bits - 1)]
    values = sorted({Fraction(exact.decode(fmt, c)) / fmt.max for c in codes})
    return np.array([float(v) for v in values])


def error_of_normal(values: NDArray[np.float64]) -> float:
    """Mean squared error of N(0, 1) rounded to the nearest of ``values``: integrals over the decision intervals.

    Over [a, b]: ∫ (x − v)² φ = (1 + v²)·(Φ(b) − Φ(a)) + (a − 2v)·φ(a) − (b − 2v)·φ(b).
    """
    edges = np.concatenate([[-np.inf], (values[:-1] + values[1:]) / 2, [np.inf]])
    a, b, density = edges[:-1], edges[1:], norm.pdf(edges)
    mass = np.diff(norm.cdf(edges))
    with np.errstate(invalid="ignore"):
        left = np.where(np.isinf(a), 0, (a - 2 * values) * density[:-1])
        right = np.where(np.isinf(b), 0, (b - 2 * values) * density[1:])
    return float(np.sum((1 + values**2) * mass + left - right))


def best_clipping(fmt: ElementFormat) -> tuple[float, float]:
    """The largest value c that minimises the error, and the error."""
    values = grid_values(fmt)
    coarse = np.geomspace(1.0, 60.0, 400)
    start = int(np.argmin([error_of_normal(values * c) for c in coarse]))
    found = minimize_scalar(
        lambda c: error_of_normal(values * c), bounds=(coarse[max(start - 1, 0)], coarse[min(start + 1, 399)])
    )
    return float(found.x), float(found.fun)


@pytest.mark.parametrize(("name", "decibels"), SQNR.items())
def test_sqnr_of_the_normal_distribution_at_the_best_clipping(name: str, decibels: float) -> None:
    error = best_clipping(fpsim.format(name))[1]
    assert -10 * np.log10(error) == pytest.approx(decibels, abs=0.02)


@pytest.mark.parametrize("name", ["int8", "e2m1", "e4m3-none"])
def test_sqnr_through_the_codec(name: str) -> None:
    """The codec's own error on a sample agrees with the integral."""
    fmt = fpsim.format(name)
    c, error = best_clipping(fmt)
    step = c / float(fmt.max)
    x = norm.ppf((np.arange(1 << 18) + 0.5) / (1 << 18))
    y = fpsim.quantize(x / step, fmt) * step
    assert np.mean((x - y) ** 2) == pytest.approx(error, rel=2e-2)
