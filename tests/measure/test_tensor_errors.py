"""SQNR, mean squared error and sparsity against exact arithmetic and their documented special cases."""

from __future__ import annotations

import math
import tracemalloc
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim.errors import FpsimError
from fpsim.measure.tensor import mse, sparsity, sqnr_db

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


@settings(deadline=None)
@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20))
def test_sqnr_and_mse_equal_exact_rational_arithmetic(pairs: list[tuple[float, float]]) -> None:
    reference, approximation = (np.array(column, np.float32) for column in zip(*pairs, strict=True))
    exact = [(Fraction(float(a)), Fraction(float(b))) for a, b in zip(reference, approximation, strict=True)]
    signal = sum((a * a for a, _ in exact), Fraction(0))
    noise = sum(((a - b) ** 2 for a, b in exact), Fraction(0))
    assert mse(reference, approximation) == pytest.approx(float(noise / len(exact)), rel=1e-13)
    if noise and signal:
        assert sqnr_db(reference, approximation) == pytest.approx(10 * _log10(signal / noise), abs=1e-11)
    else:
        assert sqnr_db(reference, approximation) == (math.inf if not noise else -math.inf)


def _log10(x: Fraction) -> float:
    return math.log10(x.numerator) - math.log10(x.denominator)


def test_special_cases_of_sqnr() -> None:
    one, zero, infinite = np.ones(3), np.zeros(3), np.array([1.0, np.inf, 1.0])
    assert sqnr_db(one, one) == math.inf
    assert sqnr_db(zero, -zero) == math.inf
    assert sqnr_db(zero, one) == -math.inf
    assert sqnr_db(one, infinite) == -math.inf
    for reference, approximation in [(one * np.nan, one), (one, one * np.nan), (infinite, one), (infinite, infinite)]:
        assert math.isnan(sqnr_db(reference, approximation))
    assert math.isnan(sqnr_db(np.zeros((0, 4)), np.zeros((0, 4))))
    assert math.isnan(mse(np.zeros(0), np.zeros(0)))
    assert math.isnan(mse(one, one * np.nan))


def test_a_zero_dimensional_array_is_one_element() -> None:
    assert sqnr_db(np.float32(10.0), np.float32(9.0)) == pytest.approx(20.0)
    assert sparsity(np.float32(0.0)) == 1.0


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_layout_and_dtype_do_not_change_the_result(dtype: type) -> None:
    rng = np.random.default_rng(1)
    reference = rng.standard_normal((40, 70, 60)).astype(dtype)
    approximation = reference.astype(np.float64) + 0.25
    expected = sqnr_db(reference, approximation)
    assert sqnr_db(np.asfortranarray(reference), approximation) == expected
    assert sqnr_db(np.asfortranarray(reference), np.asfortranarray(approximation)) == expected
    assert sqnr_db(reference.astype(np.float64), np.asfortranarray(approximation)) == expected
    assert mse(reference[::-1, ::2], approximation[::-1, ::2]) == pytest.approx(0.0625)
    assert sparsity(np.where(rng.random(reference.shape) < 0.5, reference, 0).astype(dtype).T) == pytest.approx(
        0.5, abs=0.01
    )


def test_sums_run_in_logical_order_whatever_the_layout() -> None:
    rng = np.random.default_rng(2)
    a, b = np.exp(6 * rng.standard_normal((2, 300, 400)))
    assert mse(np.asfortranarray(a), np.asfortranarray(b)) == mse(a, b)
    assert mse(a[:, ::-1], b[:, ::-1]) == mse(a[:, ::-1].copy(), b[:, ::-1].copy())


def test_half_precision_squares_do_not_overflow_or_vanish() -> None:
    large, small = np.full(5, 6e4, np.float16), np.full(5, 6e-8, np.float16)
    assert sqnr_db(large, large * np.float16(0.5)) == pytest.approx(20 * math.log10(2))
    assert mse(small, np.zeros(5, np.float16)) == pytest.approx(float(small[0]) ** 2)


def test_long_sums_keep_their_digits() -> None:
    reference = np.ones(1_000_003, np.float32)
    approximation = reference.copy()
    approximation[-1] = np.float32(1 + 2**-10)
    assert mse(reference, approximation) == 2.0**-20 / 1_000_003


@pytest.mark.parametrize("order", ["C", "F"])
def test_extra_memory_is_bounded(order: str) -> None:
    reference = np.zeros((2048, 2048), np.float32, order=order)
    approximation = np.ones((2048, 2048), np.float32)
    tracemalloc.start()
    sqnr_db(reference, approximation)
    mse(reference, approximation)
    sparsity(reference.T[::2])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_sparsity_counts_both_zeros_and_no_subnormals() -> None:
    assert sparsity(np.array([0.0, -0.0, 1e-45, np.nan], np.float32)) == 0.5
    assert sparsity(np.array([0, 3], np.int8)) == 0.5
    assert math.isnan(sparsity(np.zeros((3, 0))))


def test_bad_input_is_one_line() -> None:
    with pytest.raises(FpsimError, match=r"\(3,\) and \(1, 3\)"):
        sqnr_db(np.zeros(3), np.zeros((1, 3)))
    with pytest.raises(FpsimError, match="complex64"):
        mse(np.zeros(3, np.complex64), np.zeros(3))
    with pytest.raises(FpsimError, match="object"):
        sparsity(np.array([None]))
