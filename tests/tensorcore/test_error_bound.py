"""Sums stay within their error bound, which is the stated formula, not much too large, and grows with each term."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from tensorcore_bounds import formula, terms
from tensorcore_units import Setting, how, name_of, operands, settings

from fpsim.errors import FpsimError
from fpsim.number.exact import BINARY16, BINARY32
from fpsim.tensorcore import dot, error_bound
from fpsim.tensorcore.directed import directed
from fpsim.tensorcore.operands import element_format

SETTINGS = settings()
PLAIN = [setting for setting in SETTINGS if setting[0].scaling == "none"]
everywhere = pytest.mark.parametrize("setting", SETTINGS, ids=map(name_of, SETTINGS))
few = budget(deadline=None, max_examples=5)
seeds = st.integers(0, 2**32 - 1)


def check(setting: Setting, given: dict[str, Any]) -> float:
    """Compare every row with its bound, and return the largest part of the bound that an error takes."""
    found, bounds = dot(**given, **how(setting)), error_bound(**given, **how(setting))
    assert bounds.shape == found.shape
    assert not np.isnan(bounds).any()
    largest = 0.0
    for row in np.flatnonzero(np.isfinite(bounds)):
        error = abs(Fraction(float(found[row])) - sum(terms(setting, given, row)))
        assert error <= Fraction(float(bounds[row])), row
        largest = max(largest, float(error / Fraction(float(bounds[row])))) if error else largest
    return largest


@everywhere
@few
@given(seed=seeds, steps=st.integers(1, 3), special=st.sampled_from([0.0, 0.01]))
def test_random_sums_are_within_the_bound(setting: Setting, seed: int, steps: int, special: float) -> None:
    given = operands(np.random.default_rng(seed), setting, 20, steps, special)
    with np.errstate(invalid="ignore"):
        odd = ~np.isfinite(np.column_stack([values for values in given.values()])).all(axis=1)
    assert np.isinf(error_bound(**given, **how(setting))[odd]).all()
    check(setting, given)


@everywhere
def test_directed_sums_are_within_the_bound_and_come_near_it(setting: Setting) -> None:
    cases = [case for case in directed(*setting) if case.kind != "not finite"][::3]
    keys = ("a", "b", "c", "scale_a", "scale_b") if setting[0].scaling != "none" else ("a", "b", "c")
    given = {key: np.float32([getattr(case, key) for case in cases]) for key in keys}
    assert check(setting, given) > 0.15


SCALED = [setting for setting in SETTINGS if setting[0].c == "fused"]
FUSED = [setting for setting in PLAIN if setting[0].c == "fused"]


@pytest.mark.parametrize("setting", SCALED, ids=map(name_of, SCALED))
@few
@given(seed=seeds)
def test_the_bound_is_the_stated_formula(setting: Setting, seed: int) -> None:
    given = operands(np.random.default_rng(seed), setting, 6, setting[0].k[-1] // setting[0].step)
    bounds = error_bound(**given, **how(setting))
    for row in np.flatnonzero(np.isfinite(bounds)):
        stated = formula(setting, given, row)
        assert stated <= Fraction(float(bounds[row])) <= stated * (1 + Fraction(1, 10**9))


def test_rounding_to_nearest_lets_the_sum_grow() -> None:
    """A little below 2, half a place more in each of two sums: the second one is rounded as one from 2 on is."""
    setting = next(s for s in FUSED if name_of(s) == "hopper.wgmma.fp16.fp16")
    a, b = np.zeros((1, 32)), np.ones((1, 32))
    a[0, 0], a[0, 16] = 2.0**-20, 2.0**-11
    given: dict[str, Any] = {"a": a, "b": b, "c": np.array([2 - 2.0**-10])}
    bound = error_bound(**given, **how(setting))[0]
    assert bound == pytest.approx(float(formula(setting, given, 0)), rel=1e-9)
    assert bound > 2.0**-11 + 2.0**-10


@pytest.mark.parametrize("setting", FUSED, ids=map(name_of, FUSED))
@few
@given(seed=seeds, steps=st.integers(1, 4))
def test_relative_to_the_magnitudes(setting: Setting, seed: int, steps: int) -> None:
    """K/G · ((G + 1)·2^−F + 2^−R) · (|c| + Σ|ab|) for numbers between 1 and 2; fp16 lets the sum grow a little."""
    unit, _, accumulator = setting
    rng = np.random.default_rng(seed)
    fmts = [element_format(name) for name in setting[1]]
    k = unit.step * steps
    a, b = (1 + rng.integers(0, 1 << fmt.mantissa_bits, (5, k)) * 2.0**-fmt.mantissa_bits for fmt in fmts)
    c = rng.integers(-1024, 1025, 5) / 512
    sums = np.abs(c) + (np.abs(a) * np.abs(b)).sum(axis=1)
    kept = 11 if accumulator == "fp16" else unit.result_bits
    part = k / unit.group * ((unit.group + 1) * 2.0**-unit.fraction_bits + 2.0**-kept)
    part *= (1 + 2.0**-11) ** (k / unit.group) if accumulator == "fp16" else 1
    assert (error_bound(a, b, c, **how(setting)) <= part * sums * (1 + 1e-9)).all()


@everywhere
@few
@given(seed=seeds, power=st.integers(0, 2), side=st.sampled_from("abc"))
def test_the_bound_grows_with_every_magnitude(setting: Setting, seed: int, power: int, side: str) -> None:
    rng = np.random.default_rng(seed)
    given = operands(rng, setting, 12, 2)
    name = {"a": setting[1][0], "b": setting[1][1]}.get(side)
    fmt = element_format(name) if name else BINARY16 if setting[2] == "fp16" else BINARY32
    larger = given[side].astype(float) * 2.0**power
    larger = np.where((np.abs(larger) <= float(fmt.max)) & (rng.random(larger.shape) < 0.5), larger, given[side])
    before, after = (error_bound(**given | {side: x}, **how(setting)) for x in (given[side], larger))
    assert (before <= after * (1 + 1e-12)).all()
    assert np.array_equal(error_bound(**given | {side: -given[side]}, **how(setting)), before)


def test_wgmma_loses_almost_its_bound() -> None:
    """31.5 of 34 units: 32 products of nearly one unit, 2^-9, vanish beside c = 16."""
    a, b = np.full((1, 32), 1.125 * 2.0**-5), np.full((1, 32), 1.75 * 2.0**-5)
    hopper: dict[str, Any] = {"arch": "hopper", "dtype": "e4m3"}
    assert dot(a, b, [16.0], **hopper) == 16
    bound = error_bound(a, b, [16.0], **hopper)[0]
    assert bound == pytest.approx(34 * 2.0**-9)
    assert float((a * b).sum()) > 0.92 * bound


def test_what_may_overflow_has_no_bound() -> None:
    a = np.full((1, 16), 2.0**63)
    assert np.isinf(error_bound(a, a, arch="hopper", dtype="bf16"))
    large, half = np.full((1, 16), 64.0), {"arch": "hopper", "dtype": "fp16", "accumulator": "fp16"}
    assert np.isinf(error_bound(large, large, **half))
    assert error_bound(large, large * 0.5, **half) < 64
    assert np.isinf(error_bound(a * np.inf, a, arch="hopper", dtype="bf16"))
    assert np.isinf(error_bound(a / 2.0**63, a / 2.0**63, [np.nan], arch="hopper", dtype="bf16"))


def test_nothing_has_no_error() -> None:
    zero = np.zeros((2, 32))
    assert error_bound(zero, zero, arch="hopper", dtype="e4m3").tolist() == [0.0, 0.0]


def test_a_scaled_sum_of_zeros_has_no_exponent() -> None:
    a, b = np.zeros((1, 64)), np.ones((1, 64))
    a[0, :16] = 1
    scales = {"scale_a": np.ones((1, 4)), "scale_b": np.ones((1, 4))}
    nvfp4: dict[str, Any] = {"arch": "blackwell-sm100", "dtype": "nvfp4"}
    before = error_bound(a, b, **scales, **nvfp4)
    scales["scale_a"] = np.float32([[1, 448, 448, 448]])
    assert error_bound(a, b, **scales, **nvfp4) == before


def test_refused() -> None:
    ones = np.ones((1, 32))
    with pytest.raises(FpsimError, match="sums of uint8 are exact and have no error bound"):
        error_bound(ones, ones, arch="hopper", dtype="uint8,int8")
    with pytest.raises(FpsimError, match="K is 31; wgmma on hopper takes a K of 32"):
        error_bound(ones[:, :31], ones[:, :31], arch="hopper", dtype="e4m3")


def test_another_group_has_another_bound() -> None:
    ones: Any = np.ones((1, 8))
    whole, four = (error_bound(ones, ones, arch="turing", dtype="fp16", group=group) for group in (None, 4))
    assert whole != four
