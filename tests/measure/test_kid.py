"""The kernel distance against a naive double loop; unbiasedness and its standard error by repetition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.kid import kid, kid_subsets


def draw(count: int, size: int, seed: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(shift, 1.0, (count, size))


def naive(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        return float((np.dot(a, b) / len(a) + 1) ** 3)

    m, n = len(x), len(y)
    within_x = sum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = sum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2 * sum(kernel(a, b) for a in x for b in y) / (m * n)


@pytest.mark.parametrize(("m", "n", "size"), [(3, 3, 1), (20, 31, 4), (25, 10, 40)])
def test_equals_a_double_loop(m: int, n: int, size: int) -> None:
    x, y = draw(m, size, 1), draw(n, size, 2, 0.3)
    assert kid(x, y).value == pytest.approx(naive(x, y), rel=1e-11)
    assert kid(y, x).value == pytest.approx(naive(x, y), rel=1e-11)


def test_blocks_do_not_show() -> None:
    x, y = draw(2100, 3, 3).astype(np.float32), draw(2050, 3, 4).astype(np.float32)
    a, b = x.astype(np.float64), y.astype(np.float64)
    k = [(p @ q.T / 3 + 1) ** 3 for p, q in ((a, a), (b, b), (a, b))]
    within = [(z.sum() - np.trace(z)) / (len(z) * (len(z) - 1)) for z in k[:2]]
    assert kid(x, y).value == pytest.approx(sum(within) - 2 * k[2].mean(), rel=1e-9)


def test_unbiased_for_equal_distributions_at_any_number() -> None:
    """Where the truth is 0, the mean over repetitions is 0 within four of its errors."""
    for m, n in ((5, 8), (40, 12)):
        found = [kid(draw(m, 6, seed), draw(n, 6, 10_000 + seed)) for seed in range(400)]
        values = np.array([each.value for each in found])
        assert abs(values.mean()) < 4 * values.std() / 20
        assert values.min() < 0


def test_standard_error_is_the_spread_of_repetitions() -> None:
    found = [kid(draw(60, 5, seed, 0.5), draw(80, 5, 5000 + seed)) for seed in range(300)]
    spread = np.std([each.value for each in found])
    assert np.mean([each.error for each in found]) == pytest.approx(spread, rel=0.2)


def test_standard_error_is_the_jackknife_s() -> None:
    x, y = draw(12, 3, 5), draw(9, 3, 6, 0.4)
    without_x = [naive(np.delete(x, i, 0), y) for i in range(12)]
    without_y = [naive(x, np.delete(y, i, 0)) for i in range(9)]
    assert kid(x, y).error == pytest.approx(np.sqrt(11 * np.var(without_x) + 8 * np.var(without_y)), rel=1e-9)


def test_larger_where_sets_differ_more() -> None:
    reference = draw(100, 8, 7)
    near, far = (kid(draw(100, 8, 8, shift), reference).value for shift in (0.2, 1.0))
    assert 0 < near < far


def test_subsets_average_to_the_whole_and_depend_on_the_seed() -> None:
    x, y = draw(80, 4, 9), draw(70, 4, 10, 0.5)
    found = kid_subsets(x, y, size=30, subsets=60, seed=1)
    assert found.subsets == 60
    assert found == kid_subsets(x, y, size=30, subsets=60, seed=1)
    assert found.value != kid_subsets(x, y, size=30, subsets=60, seed=2).value
    assert found.value == pytest.approx(kid(x, y).value, abs=4 * found.error / np.sqrt(60))
    whole = kid_subsets(x[:70], y, size=70, subsets=2)
    assert whole.value == pytest.approx(naive(x[:70], y), rel=1e-10)
    assert whole.error == pytest.approx(0, abs=1e-12)


def test_bad_input_is_refused() -> None:
    x = draw(10, 3, 0)
    with pytest.raises(FpsimError, match="at least 3"):
        kid(x[:2], x)
    with pytest.raises(FpsimError, match="same network"):
        kid(x, draw(10, 4, 0))
    with pytest.raises(FpsimError, match="cannot be drawn"):
        kid_subsets(x, x, size=11)
    with pytest.raises(FpsimError, match="NaN"):
        kid(np.full((5, 2), np.nan), draw(5, 2, 0))
