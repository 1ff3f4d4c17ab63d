"""The sketch of a stream: exact merging in any order, and errors within the bound that it states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from brute_force import DISTRIBUTIONS, draw
from hypothesis import given, settings
from hypothesis import strategies as st

from fpsim import FpsimError, search_format
from fpsim.quant.search.candidates import encodings_of, fractions_of
from fpsim.quant.search.result import SearchResult
from fpsim.quant.search.search import search_magnitudes
from fpsim.quant.search.sketch import Sketch

prove = settings(deadline=None, max_examples=40)


def sketch(*parts: np.ndarray) -> Sketch:
    found = Sketch()
    for part in parts:
        found.add(part)
    return found


def searched(found: Sketch, bits: int = 8) -> SearchResult:
    return search_magnitudes(found.magnitudes(), encodings_of(bits), fractions_of())


def same(a: Sketch, b: Sketch) -> bool:
    arrays = all(np.array_equal(getattr(a, key), getattr(b, key)) for key in ("counts", "lows", "squares"))
    return arrays and (a.largest, a.total) == (b.largest, b.total)


def check(x: np.ndarray, bits: int) -> None:
    """Errors between the exact ones and those plus the excess, for every candidate; the choice as good."""
    whole = sketch(x)
    found, exact = searched(whole, bits), search_format(x, bits)
    energy = np.sum(x.astype(np.float64) ** 2)
    ours, theirs = found.errors[0] * x.size, exact.errors[0] * x.size
    noise = 1e-9 * theirs + 2.0**-44 * energy
    assert (ours >= theirs - noise).all()
    maxima = fractions_of() * float(np.abs(x).max())
    for place, encoding in enumerate(encodings_of(bits)):
        excess = [whole.excess(encoding.grid(), 2.0**-b) for b in encoding.bias(maxima[::10])]
        assert (ours[place, ::10] <= theirs[place, ::10] + excess + noise[place, ::10]).all()
    worst = whole.excess(found.encoding.grid(), float(2.0 ** -found.bias[0]))
    least = theirs.min()
    assert theirs.reshape(-1)[found.index[0]] <= found.mse * x.size + noise.min() + 1e-28 * energy
    # What the sketch chose is, exactly, at most the excess of the exact winner worse than it.
    e, c = exact.index[0] // 111, exact.index[0] % 111
    allowed = whole.excess(encodings_of(bits)[e].grid(), 2.0 ** -float(encodings_of(bits)[e].bias(maxima[[c]])[0]))
    assert theirs.reshape(-1)[found.index[0]] <= least + allowed + 1e-9 * least + 2.0**-44 * energy
    assert worst >= 0


@prove
@given(st.integers(0, 10_000), st.sampled_from([4, 8]))
def test_errors_are_within_the_stated_bound(seed: int, bits: int) -> None:
    check(draw(seed), bits)


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
def test_large_samples_cost_less_than_a_hundredth_of_a_decibel(kind: str) -> None:
    x = DISTRIBUTIONS[kind](np.random.default_rng(1), 200_000).astype(np.float32)
    whole = sketch(x)
    found, exact = searched(whole), search_format(x)
    assert found.encoding == exact.encoding
    assert found.mse * (1 + 1e-9) >= exact.errors.reshape(-1)[found.index[0]] >= exact.mse * (1 - 1e-9)
    assert found.sqnr_db == pytest.approx(exact.sqnr_db, abs=0.01)
    if kind != "half zeros":  # values on a coarse grid of their own may lie on boundaries
        assert whole.excess(found.encoding.grid(), 2.0 ** -found.bias[0]) < 0.005 * found.mse * x.size


@prove
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_is_exact_in_any_order(seeds: list[int], random: object) -> None:
    parts = [draw(seed) for seed in seeds]
    whole = sketch(np.concatenate(parts))
    shuffled = list(parts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged = Sketch()
    for part in shuffled:
        merged.merge(sketch(part))
    assert same(whole, merged)
    assert same(whole, sketch(*reversed(parts)))
    assert np.array_equal(searched(whole).errors, searched(merged).errors)


def test_sums_are_those_of_the_values() -> None:
    tiny = [0.0, -0.0, 1e-45, -7e-45, 1.1754942e-38, 1.17549435e-38, 3.4e38, -1.5, 1.5000001]
    for x in (np.array(tiny, np.float32), *(draw(seed) for seed in range(16))):
        m, exact = sketch(x).magnitudes(), np.abs(x.astype(np.float64))
        unit = 2.0 ** float(m.exponent[0])
        assert m.count == x.size
        assert m.sums[0, -1] * unit == pytest.approx(exact.sum(), rel=1e-14)
        assert m.energy[0] * unit * unit == pytest.approx(np.sum(exact * exact), rel=1e-14)
        assert m.largest[0] * unit == exact.max()
        assert (np.diff(m.values[0]) > 0).all()


def test_values_of_one_bin_leave_nothing_within() -> None:
    assert sketch(np.full(1000, 0.7, np.float32)).magnitudes().within[0] == 0
    x = np.array([1, 1 + 2**-12], np.float32)
    m = sketch(x).magnitudes()
    assert m.within[0] * 4.0 ** m.exponent[0] == pytest.approx(2 * (2**-13) ** 2, rel=1e-12)


def test_a_stream_of_tensors() -> None:
    found = Sketch()
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        found.add(torch.linspace(-2, 2, 64, dtype=torch.float64).to(dtype).reshape(4, 16))
    found.add(np.empty((0, 3), np.float32))
    assert (found.total, searched(found).maximum[0] > 1) == (192, True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_what_float32_cannot_hold_is_refused(bad: float) -> None:
    found = sketch(np.ones(3))
    with pytest.raises(FpsimError, match="the input of 'mid' holds NaN or Inf"):
        found.add(np.array([1.0, bad]), "the input of 'mid'")
    assert found.total == 3


def test_an_empty_sketch_and_one_that_is_too_long_are_refused() -> None:
    with pytest.raises(FpsimError, match="has no values"):
        Sketch().magnitudes()
    long = Sketch()
    long.total = 1 << 37
    with pytest.raises(FpsimError, match="take fewer images"):
        long.add(np.ones(1))


def test_zeros_get_the_default_bias() -> None:
    found = searched(sketch(np.zeros(5)))
    assert (found.format.bias, found.mse, found.encoding.name) == (2, 0, "e2m5")
