"""Random words: arrays equal the specification's counter, and look random."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import torch
from scipy.stats import chi2

from fpsim.codec.counter import words
from fpsim.codec.numba.mode_ops import keys as compiled_keys
from fpsim.codec.numba.mode_ops import random_threshold
from fpsim.codec.torch.modes import thresholds
from fpsim.codec.torch.twin import key_table
from fpsim.number import counter

EDGE = 1 << 32
COUNT = 1 << 18
SEEDS = (0, 1, 2, 12345, (1 << 64) - 1)
#: For 1,024 correlations at a time one beyond 5.5 standard deviations is expected once in 25,000 tests.
SIGMAS = 5.5


@pytest.mark.parametrize("bits", [1, 3, 8, 24, 32])
def test_arrays_equal_the_counter(bits: int) -> None:
    for seed in SEEDS:
        for first in (0, 7, EDGE - 3, EDGE, 5 * EDGE - 2, (1 << 63) - 3):
            found = words(seed, first, 7, bits)
            assert found.dtype == np.uint32
            assert found.tolist() == [counter.word(seed, first + i, bits) for i in range(7)]
    assert words(3, EDGE - 3, 0, bits).size == 0


def test_the_words_of_a_seed_never_change() -> None:
    """Otherwise a simulation could not be repeated with a later version."""
    places = ((0, 0), (0, 1), (1, 0), (7, EDGE), ((1 << 64) - 1, EDGE - 1))
    known = [3149879850, 358819528, 3913441640, 110071360, 561989005]
    assert [counter.word(seed, index, 32) for seed, index in places] == known


@numba.njit
def _compiled(seed, first, out, shift, steps):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        key, second = compiled_keys(seed, (first + i) >> 32)
        out[i] = random_threshold(first + i, key, second, shift, steps)


def test_compiled_words_equal_the_counter_across_each_2_to_the_32() -> None:
    for seed in SEEDS:
        for first in (0, EDGE - 3, 5 * EDGE - 3):
            out = np.empty(7, np.int32)
            _compiled(np.uint64(seed), first, out, np.int32(32 - 24), np.int32(1 << 24))
            assert out.tolist() == [(1 << 24) - counter.word(seed, first + i, 24) for i in range(7)]


def test_the_words_of_torch_equal_the_counter() -> None:
    for seed in SEEDS:
        table = key_table(seed, 5 * EDGE - 3, torch.device("cpu"))
        assert [tuple(row) for row in table.tolist()] == [counter.keys(seed, upper) for upper in range(5)]
        assert key_table(seed, EDGE, torch.device("cpu")).shape == (1, 2)
        for bits in (1, 24):
            found = thresholds(torch.Size((3, 5)), table, bits)
            wanted = [(1 << bits) - counter.word(seed, i, bits) for i in range(15)]
            assert found.flatten().tolist() == wanted


def test_other_seeds_and_other_upper_halves_give_other_words() -> None:
    firsts = [(seed, upper * EDGE) for seed in SEEDS for upper in range(4)]
    rows = {tuple(words(seed, first, 8, 32).tolist()) for seed, first in firsts}
    assert len(rows) == len(firsts)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("bits", [1, 4, 8, 10])
def test_words_are_uniform(bits: int, seed: int) -> None:
    counts = np.bincount(words(seed, 0, COUNT, bits), minlength=1 << bits)
    mean = COUNT / (1 << bits)
    likely(float(((counts - mean) ** 2).sum() / mean), (1 << bits) - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbouring_words_are_uniform_together(seed: int) -> None:
    nibbles = words(seed, 0, COUNT + 1, 4).astype(int)
    following = words(seed + 1 if seed < SEEDS[-1] else 0, 0, COUNT, 4)
    for other in (nibbles[1:], following):
        counts = np.bincount(nibbles[:-1] * 16 + other, minlength=256)
        mean = COUNT / 256
        likely(float(((counts - mean) ** 2).sum() / mean), 255)


def likely(statistic: float, freedom: int) -> None:
    """Neither less nor more even than chance, but once in 20,000 times."""
    assert chi2.ppf(2.5e-5, freedom) < statistic < chi2.ppf(1 - 2.5e-5, freedom)


def signs(seed: int, first: int) -> np.ndarray:
    """The 32 bits of each word as ±1, ``[COUNT, 32]``."""
    found = words(seed, first, COUNT, 32)
    return 1 - 2 * ((found[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(np.float32)


def far_from_zero(correlation: np.ndarray) -> float:
    """The largest sum of products of independent signs, in standard deviations."""
    return float(np.abs(correlation).max() / COUNT**0.5)


def test_no_bit_depends_on_another() -> None:
    """Of a word, of words at neighbouring and distant indices, and of the seeds s and s + 1."""
    for seed in SEEDS[:3]:
        own = signs(seed, 0)
        assert far_from_zero(own.sum(axis=0)) < SIGMAS
        assert far_from_zero(own.T @ own - COUNT * np.eye(32)) < SIGMAS
        for other in (signs(seed, 1), signs(seed, 2), signs(seed, 1 << 14), signs(seed, EDGE), signs(seed + 1, 0)):
            assert far_from_zero(own.T @ other) < SIGMAS
