"""What must hold for any tensor, whatever the search finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brute_force import DISTRIBUTIONS, draw
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim import search_format
from fpsim.quant.search.errors import errors_at, levels
from fpsim.quant.search.magnitudes import magnitudes

prove = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 10_000)


@prove
@given(seeds, st.integers(-60, 60), st.sampled_from([4, 8]))
def test_a_power_of_two_shifts_the_bias_alone(seed: int, power: int, bits: int) -> None:
    x = draw(seed, dtype=np.float64)
    one, other = search_format(x, bits), search_format(np.ldexp(x, power), bits)
    assert one.index == other.index
    assert np.array_equal(one.normalized, other.normalized)
    assert other.bias[0] == pytest.approx(one.bias[0] - power, abs=1e-12)
    assert other.mse == np.ldexp(one.mse, 2 * power)


@prove
@given(seeds, seeds)
def test_order_and_signs_do_not_matter(seed: int, other: int) -> None:
    x, rng = draw(seed), np.random.default_rng(other)
    shuffled = rng.permutation(x) * rng.choice([-1, 1], x.size).astype(x.dtype)
    assert np.array_equal(search_format(x).errors, search_format(shuffled).errors)


@prove
@given(seeds)
def test_four_bits_are_never_worse_than_symmetric_integers(seed: int) -> None:
    """E1M2 has the 15 levels of symmetric INT4, so the search contains it."""
    x = draw(seed)
    fractions = np.linspace(0.1, 1.2, 111)
    m = magnitudes(x.reshape(1, -1))
    tops = np.abs(x).max().astype(np.float64) * fractions
    integers = errors_at(m, fpsim.format("int4"), tops[None] / 7)[0] / x.size
    found = search_format(x, 4)
    np.testing.assert_allclose(found.errors[0, 0], integers, rtol=1e-9, atol=1e-14 * float(np.mean(x**2.0)))
    assert found.mse <= integers.min() * (1 + 1e-12)


def test_e1m2_has_the_levels_of_int4() -> None:
    ours, integers = levels(fpsim.format("chen-e1m2")), levels(fpsim.format("int4"))
    assert np.array_equal(ours / ours[-1], integers / integers[-1])


@prove
@given(seeds, st.sampled_from(["float16", "bfloat16", "float32", "float64"]))
def test_torch_and_numpy_agree(seed: int, dtype: str) -> None:
    t = torch.from_numpy(draw(seed, dtype=np.float64)).to(getattr(torch, dtype))
    t = torch.where(t.isfinite(), t, 1)
    x = t.numpy() if dtype != "bfloat16" else t.float().numpy()
    if not x.any():
        return
    assert np.array_equal(search_format(t.reshape(-1, 1)).errors, search_format(x).errors)


@prove
@given(seeds, st.sampled_from(["e2m1", "int6", "int8", "e4m3", "e3m4-none", "chen-e5m2", "e4m3-ieee"]))
def test_errors_of_any_symmetric_grid(seed: int, name: str) -> None:
    x, fmt = draw(seed, dtype=np.float64), fpsim.format(name)
    tops = np.array([0.05, 0.4, 0.99, 1.5, 7]) * np.abs(x).max()
    scales = tops / float(fmt.max)
    found = errors_at(magnitudes(x[None]), fmt, scales[None])[0]
    exact = [np.sum((x - fpsim.quantize(x / s, fmt) * s) ** 2) for s in scales]
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=2.0**-44 * np.sum(x * x))


def test_errors_of_a_codebook_and_of_a_real_bias() -> None:
    x = draw(1, dtype=np.float64)
    x /= np.abs(x).max()
    for fmt in (fpsim.format([-1, -0.3, 0.3, 1]), fpsim.format("e3m2", bias=3.37)):
        found = errors_at(magnitudes(x[None]), fmt, np.array([[1.0]]))[0, 0]
        assert found == pytest.approx(np.sum((x - fpsim.quantize(x, fmt)) ** 2), rel=1e-9)


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_threads_do_not_change_the_result(kind: str) -> None:
    import numba

    x = DISTRIBUTIONS[kind](np.random.default_rng(0), 200_000).astype(np.float32)
    one = search_format(x)
    numba.set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
    try:
        two = search_format(x)
    finally:
        numba.set_num_threads(1)
    assert np.array_equal(one.errors, two.errors)
    exact = [np.sum((np.sort(np.abs(x)).astype(np.float64)) ** 2)]
    assert one.magnitudes[0][0] * 4.0 ** one.magnitudes[1][0] == pytest.approx(exact[0], rel=1e-14)
