"""Stochastic rounding: every random word gives what the specification says, so that probabilities are exact."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
import torch
from codec_oracle import differences
from codec_words import BITS, CASES, SEED, TIMES, Case, all_words, answers, ids

import fpsim
from fpsim.codec.counter import words
from fpsim.number import exact
from fpsim.number.conversion import Conversion, Overflow

TWINS = ("numpy", "numba", "torch")


def rounded(twin: str, x: np.ndarray, case: Case, bits: int, seed: int = SEED) -> np.ndarray:
    policies: dict[str, Any] = {"rounding": "stochastic", "overflow": case.overflow, "random_bits": bits, "seed": seed}
    if twin != "torch":
        return fpsim.quantize(x, case.fmt, backend=twin, **policies)
    return fpsim.quantize(torch.from_numpy(x), case.fmt, backend=twin, **policies).numpy()


def of_words(case: Case, bits: int, random: np.ndarray, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """The specification's results of an array of words."""
    return answers(case, bits).astype(dtype)[random] * dtype(case.fmt.scale(8 * np.dtype(dtype).itemsize))


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_the_specification_has_the_exact_probability(case: Case) -> None:
    assert Fraction(0) < case.distance < 1
    for bits in BITS:
        away = answers(case, bits) != case.near
        assert set(answers(case, bits)[away].tolist()) <= {case.far} or np.isnan(case.far)
        assert np.all(np.isnan(answers(case, bits)[away]) == np.isnan(case.far))
        assert Fraction(int(away.sum()), 1 << bits) == Fraction(int(case.distance * 2**bits), 1 << bits)
        assert np.all(np.diff(away.astype(int)) >= 0), "the greatest words are those that lead away from zero"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("case", CASES, ids=ids)
def test_every_word_gives_what_the_specification_says(case: Case, twin: str) -> None:
    for bits in BITS:
        random = all_words(bits, TIMES << bits)
        assert np.array_equal(np.unique(random), np.arange(1 << bits)), "some words do not occur"
        x = np.full(random.shape, case.x, np.float32)
        assert not differences(rounded(twin, x, case, bits), of_words(case, bits, random), x), f"{bits} bits"


@pytest.mark.parametrize("twin", ["numpy", "torch"])
@pytest.mark.parametrize("case", [case for case in CASES if case.fmt.scale(32) == 1], ids=ids)
def test_float64_gives_what_float32_does(case: Case, twin: str) -> None:
    for bits in (1, 5, 10):
        random = all_words(bits, TIMES << bits)
        x = np.full(random.shape, case.x, np.float64)
        assert not differences(rounded(twin, x, case, bits), of_words(case, bits, random, np.float64), x)


def test_float64_has_distances_that_float32_has_not() -> None:
    """A distance of a little less than a multiple of 2^-10 counts as the multiple before."""
    random = all_words(10, TIMES << 10)
    for x, away in ((1 + 2.0**-13, 1), (1 + 2.0**-13 - 2.0**-45, 0), (1 + 3 * 2.0**-13 + 2.0**-50, 3)):
        case = Case(name="", format="e4m3", x=x, near=1.0, far=1.125, distance=(Fraction(x) - 1) * 8)
        wanted = np.where(random >= 1024 - away, 1.125, 1.0)
        assert int(case.distance * 1024) == away
        for twin in TWINS:
            assert np.array_equal(rounded(twin, np.full(random.shape, x), case, 10), wanted), twin


@pytest.mark.parametrize("twin", TWINS)
def test_what_lies_on_the_grid_or_beyond_it_is_not_random(twin: str) -> None:
    x = np.repeat(np.array([448.0, 460.5, -1e9, np.inf, 1.125, -0.0, 2.0**-9], np.float32), 300)
    wanted = np.repeat(np.array([448.0, 448.0, -448.0, 448.0, 1.125, -0.0, 2.0**-9], np.float32), 300)
    assert not differences(rounded(twin, x, CASES[0], 8), wanted, x)
    special = next(case for case in CASES if case.format == "e5m2" and case.overflow == "special")
    x = np.repeat(np.array([57344.0, 65536.0, -1e9, np.inf, -np.inf, np.nan], np.float32), 300)
    wanted = np.repeat(np.array([57344.0, np.inf, -np.inf, np.inf, -np.inf, np.nan], np.float32), 300)
    assert not differences(rounded(twin, x, special, 8), wanted, x)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("case", [CASES[0], CASES[13], CASES[15]], ids=ids)
def test_threads_and_chunks_do_not_matter(case: Case, twin: str) -> None:
    count = 3 * (1 << 16) + 4321  # more than a thread's least work, and no multiple of any chunk
    random, x = words(SEED, 0, count, 8), np.full(count, case.x, np.float32)
    wanted, before = of_words(case, 8, random), (numba.get_num_threads(), torch.get_num_threads())
    for threads in (1, 2):
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
        torch.set_num_threads(threads)
        try:
            assert not differences(rounded(twin, x, case, 8), wanted, x), f"{threads} threads"
        finally:
            numba.set_num_threads(before[0])
            torch.set_num_threads(before[1])
    for shape in ((count // 7, 7), (7, count // 7), (3, 1, count // 3), (count, 1)):
        part = x[: int(np.prod(shape))].reshape(shape)
        assert not differences(rounded(twin, part, case, 8).ravel(), wanted[: part.size], part), shape


@pytest.mark.parametrize("twin", TWINS)
def test_memory_layout_does_not_matter(twin: str) -> None:
    values, case = np.random.default_rng(2).normal(size=(33, 65)).astype(np.float32), CASES[0]
    for view in (values.T, values[::2, ::-1], values[:, ::3], np.asfortranarray(values), values[4]):
        whole = rounded(twin, np.ascontiguousarray(view), case, 12)
        if twin != "torch":
            assert not differences(rounded(twin, view, case, 12), whole, view)
    images = torch.from_numpy(values[:32, :60].copy()).reshape(2, 16, 10, 6)
    policies = {"rounding": "stochastic", "random_bits": 12, "seed": SEED, "backend": twin}
    wanted = fpsim.quantize(images, "e4m3", **policies)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(fpsim.quantize(last, "e4m3", **policies), wanted)
    turned = images.permute(1, 3, 0, 2)
    assert torch.equal(
        fpsim.quantize(turned, "e4m3", **policies), fpsim.quantize(turned.contiguous(), "e4m3", **policies)
    )


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m1", "e3m0", "int8", "nf4", "e3m4@6.37", "e4m3-fnuz", "binary16"])
def test_backends_agree(name: str) -> None:
    rng = np.random.default_rng(3)
    case = Case(name="", format=name, x=0.0, near=0.0, far=0.0, distance=Fraction(0))
    x = (rng.normal(size=5000) * np.exp2(rng.uniform(-12, 9, 5000))).astype(np.float32)
    x[:6] = 0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40
    for bits in (1, 8, 24):
        first = rounded("numpy", x, case, bits)
        assert not differences(rounded("numba", x, case, bits), first, x), bits
        assert not differences(rounded("torch", x, case, bits), first, x), bits
        assert differences(rounded("numpy", x, case, bits, seed=SEED + 1), first, x), "another seed, the same result"


@pytest.mark.parametrize("twin", ["numpy", "torch"])
def test_the_type_does_not_matter(twin: str) -> None:
    x = np.random.default_rng(4).normal(size=4000).astype(np.float16)
    for case in (CASES[0], CASES[13], CASES[15]):
        narrow, single, double = (rounded(twin, x.astype(t), case, 9) for t in (np.float16, np.float32, np.float64))
        assert not differences(single.astype(np.float64), double, x)
        assert not differences(single.astype(np.float16), narrow, x)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("case", [CASES[1], CASES[4], CASES[6], CASES[9], CASES[14], CASES[15]], ids=ids)
def test_the_mean_is_the_expectation(case: Case, twin: str) -> None:
    count = 1 << 20
    y = rounded(twin, np.full(count, case.x, np.float32), case, 24)
    share = float(Fraction(int(case.distance * 2**24), 1 << 24))
    away = np.isnan(y) if np.isnan(case.far) else y == np.float32(case.far)
    assert np.all(away | (y == np.float32(case.near)))
    assert abs(away.mean() - share) < 5 * (share * (1 - share) / count) ** 0.5
    if np.isfinite(case.far):
        assert abs(y.mean(dtype=np.float64) - case.x) < 5 * abs(case.far - case.near) * 0.5 / count**0.5


def test_cut_off_distances_never_round_away() -> None:
    """Less than 2^-bits of a step has the probability 0, exactly as floor says."""
    tiny = np.full(1 << 14, 1 + 2.0**-3 * 2.0**-8 * 0.999, np.float32)
    for twin in TWINS:
        assert np.all(rounded(twin, tiny, CASES[0], 8) == 1), twin
        assert np.any(rounded(twin, tiny, CASES[0], 9) != 1), twin


def test_finite_numbers_saturate_under_propagate_whatever_the_word() -> None:
    how = Conversion(rounding="stochastic", overflow=Overflow.PROPAGATE, random_bits=3, seed=0)
    fmt = fpsim.format("e5m2")
    assert {exact.encode(fmt, 60000.0, how, word=word) for word in range(8)} == {fmt.max_code}


def test_seeds_and_bits_may_be_numpy_integers() -> None:
    x = np.linspace(0, 3, 100, dtype=np.float32)
    plain = fpsim.quantize(x, "e4m3", rounding="stochastic", seed=7, random_bits=8)
    theirs = fpsim.quantize(x, "e4m3", rounding="stochastic", seed=np.uint64(7), random_bits=np.int32(8))
    assert np.array_equal(plain, theirs)
    other = fpsim.quantize(x, "e4m3", rounding="stochastic", seed=np.int64(8), random_bits=8)
    assert not np.array_equal(plain, other)
