"""Q-Diffusion's scale rules against formulas written down once more, and against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.number import IntFormat
from fpsim.quant.asymmetric import affine_range, fit_affine, fit_symmetric, symmetric_range
from fpsim.quant.scales import Scales

law = settings(deadline=None, max_examples=40, derandomize=True)


def unsigned(bits: int) -> IntFormat:
    return IntFormat(name=f"uint{bits}", bits=bits, signed=False)


def full(bits: int) -> IntFormat:
    return IntFormat(name=f"int{bits}-full", bits=bits, full=True)


def affine(w: np.ndarray, d: np.ndarray, z: np.ndarray, bits: int) -> np.ndarray:
    """q = clamp(round(w / d) + z, 0, L − 1), ŵ = (q − z) · d, in float64."""
    q = np.clip(np.rint(w / d[:, None]) + z[:, None], 0, 2**bits - 1)
    return (q - z[:, None]) * d[:, None]


def rows(seed: int, count: int = 3, values: int = 50, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (count, values))


def brute_force(w: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """The search as the paper's code does it, one row and candidate at a time."""
    chosen = []
    for row in w:
        best = (np.inf, 0.0, 0.0)
        for k in range(80):
            f = 1 - 0.01 * k
            d = (row.max() - row.min()) * f / (2**bits - 1)
            z = float(np.rint(-row.min() * f / d))
            error = float((np.abs(row - affine(row[None], np.array([d]), np.array([z]), bits)[0]) ** 2.4).mean())
            if error < best[0]:
                best = (error, d, z)
        chosen.append(best[1:])
    found = np.array(chosen)
    return found[:, 0], found[:, 1]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shift", [0.0, 0.7, 4.0])
def test_the_search_is_brute_force(bits: int, shift: float) -> None:
    w = rows(bits, shift=shift)
    found = fit_affine(w, unsigned(bits), "mse")
    d, z = brute_force(w, bits)
    np.testing.assert_allclose(found.scale, d, rtol=1e-12)
    assert found.zero_point is not None
    np.testing.assert_array_equal(found.zero_point, z)


def test_the_search_goes_down_to_a_fifth_of_the_range() -> None:
    """One value far out among many is worth clipping by more than half."""
    w = np.concatenate([rows(3, values=20_000), np.full((3, 1), 12.0)], axis=1)
    found = fit_affine(w, unsigned(3), "mse")
    d, z = brute_force(w, 3)
    np.testing.assert_allclose(found.scale, d, rtol=1e-12)
    np.testing.assert_array_equal(found.zero_point, z)
    assert (d * 7 < 0.45 * (w.max(axis=1) - w.min(axis=1))).all()


def test_the_search_pays_and_weighs_errors_to_the_power_of_2_4() -> None:
    w = np.random.default_rng(0).standard_t(3, (8, 400))
    found, widest = (fit_affine(w, unsigned(4), rule) for rule in ("mse", "max"))

    def error(scales: Scales) -> np.ndarray:
        assert scales.zero_point is not None
        return (np.abs(w - affine(w, scales.scale, scales.zero_point, 4)) ** 2.4).mean(axis=1)

    assert (error(found) < error(widest)).all()


@law
@given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from(["mse", "max"]), st.floats(-5, 5))
def test_the_quantizer_computes_the_formula(seed: int, bits: int, rule: str, shift: float) -> None:
    w = rows(seed, shift=shift)
    found = fit_affine(w, unsigned(bits), rule)
    assert found.zero_point is not None
    ours = fpsim.Quantizer(unsigned(bits), fpsim.PerChannel(0), scales=found, backend="numpy")(w)
    np.testing.assert_allclose(ours, affine(w, found.scale, found.zero_point, bits), atol=1e-12)
    for row in ours:
        assert len(np.unique(row)) <= 2**bits


@law
@given(st.integers(0, 10**6), st.integers(2, 8), st.floats(-3, 3))
def test_max_covers_the_range_extended_to_zero(seed: int, bits: int, shift: float) -> None:
    w = rows(seed, shift=shift)
    found = fit_affine(w, unsigned(bits), "max")
    low, high = np.minimum(w.min(axis=1), 0), np.maximum(w.max(axis=1), 0)
    assert found.zero_point is not None
    np.testing.assert_allclose(found.scale, (high - low) / (2**bits - 1), rtol=1e-12)
    np.testing.assert_array_equal(found.zero_point, np.rint(-low / found.scale))
    assert ((found.zero_point >= 0) & (found.zero_point < 2**bits)).all()


def test_symmetric_activations_use_the_lowest_code() -> None:
    x = rows(1)
    found = fit_symmetric(x, full(4), "max")
    np.testing.assert_allclose(found.scale, np.abs(x).max(axis=1) / 7)
    assert found.zero_point is None
    y = fpsim.Quantizer(full(4), scales=Scales(np.array([1.0])), backend="numpy")(np.array([-9.0, -8.4, -7.0, 7.6]))
    np.testing.assert_array_equal(y, [-8, -8, -7, 7])


def test_unsigned_softmax_uses_all_codes() -> None:
    """A signed format of as many bits has half of them for values that are never negative."""
    p = np.linspace(0, 1, 100_001)[None]
    plain = fpsim.Quantizer(unsigned(8), scales=fit_symmetric(p, unsigned(8), "max"), backend="numpy")(p)
    signed = fpsim.Quantizer(full(8), scales=fit_symmetric(p, full(8), "max"), backend="numpy")(p)
    assert (len(np.unique(plain)), len(np.unique(signed))) == (256, 128)
    assert np.abs(plain - p).max() < np.abs(signed - p).max() * 0.51


def test_symmetric_search_is_brute_force() -> None:
    x = rows(5)
    found = fit_symmetric(x, full(4), "mse")
    for row, scale in zip(x, found.scale, strict=True):
        candidates = [np.abs(row).max() * (1 - 0.01 * k) / 7 for k in range(80)]
        errors = [(np.abs(row - np.clip(np.rint(row / d), -8, 7) * d) ** 2.4).mean() for d in candidates]
        np.testing.assert_allclose(scale, candidates[int(np.argmin(errors))], rtol=1e-12)


def test_ranges_that_were_seen() -> None:
    low, high = np.array([0.5]), np.array([1.5])
    found = affine_range(low, high, unsigned(8), dtype=np.float32)
    assert found.scale.dtype == np.float32
    assert (found.scale[0], found.zero_point) == (np.float32(1.5 / 255), np.array([0.0]))
    assert symmetric_range(np.array([2.0]), full(8), dtype=np.float32).scale[0] == np.float32(2 / 127)


@pytest.mark.parametrize("rule", ["mse", "max"])
@pytest.mark.parametrize("value", [0.0, 3.25, -3.25])
def test_rows_of_one_value_stay_what_they_are(rule: str, value: float) -> None:
    w = np.full((1, 9), value, np.float32)
    found = fit_affine(w, unsigned(4), rule)
    np.testing.assert_allclose(fpsim.Quantizer(unsigned(4), scales=found, backend="numpy")(w), w, rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "fmt", "rule", "message"),
    [
        (rows(0), full(4), "mse", "signed and has no zero point"),
        (rows(0), unsigned(4), "percentile", "not one of mse, max"),
        (np.array([[np.nan]]), unsigned(4), "max", "'w' holds NaN"),
        (np.array([[1e-42, 0]], np.float32), unsigned(8), "max", "'w': its scale would be"),
    ],
)
def test_refused(x: np.ndarray, fmt: IntFormat, rule: str, message: str) -> None:
    with pytest.raises(fpsim.FpsimError, match=message):
        fit_affine(x, fmt, rule, name="'w'")
