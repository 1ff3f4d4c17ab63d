"""Each image's own noise."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from fpsim.sample.noise import generators, image_seed, initial_noise


def mix(words: np.ndarray) -> np.ndarray:
    """MurmurHash3's finalizer on an array, written independently of the package."""
    words = words.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        words = (words ^ (words >> np.uint32(shift))) * np.uint32(factor)
    return words ^ (words >> np.uint32(16))


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_seeds_follow_the_documented_function_and_never_repeat(seed: int) -> None:
    base = np.frombuffer(hashlib.sha256(str(seed).encode()).digest()[:4], "<u4").astype(np.uint64)
    expected = mix((base + np.arange(50_000, dtype=np.uint64)) & np.uint64(0xFFFFFFFF))
    seeds = [image_seed(seed, index) for index in range(50_000)]
    assert np.array_equal(seeds, expected)
    assert len(set(seeds)) == 50_000


def test_the_seed_function_is_frozen() -> None:
    """These values are part of what makes an old run repeatable."""
    seeds = [image_seed(0, 0), image_seed(0, 1), image_seed(1, 0), image_seed(2**64, 12345)]
    assert seeds == [1542791473, 2972208529, 1738904257, 3969038371]


def test_seeds_of_other_runs_differ() -> None:
    runs = [{image_seed(seed, index) for index in range(1000)} for seed in range(20)]
    assert len(set.union(*runs)) == 20_000


def test_torch_uses_the_low_32_bits_of_a_seed() -> None:
    """The reason for 32-bit seeds that cannot collide; if torch changes it, the documentation has to."""
    low, high = (torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5 + 2**32))
    assert torch.equal(low, high)


@pytest.mark.parametrize("size", [1, 3, 16])
def test_initial_noise_is_bit_equal_for_every_batch_size(size: int) -> None:
    whole = initial_noise(generators(7, range(16)), (3, 8, 8))
    chunks = [initial_noise(generators(7, range(i, min(i + size, 16))), (3, 8, 8)) for i in range(0, 16, size)]
    assert torch.equal(torch.cat(chunks), whole)
    assert (whole.dtype, whole.shape) == (torch.float32, (16, 3, 8, 8))


def test_images_and_runs_have_different_noise() -> None:
    noise = initial_noise([*generators(0, range(64)), *generators(1, range(64))], (3, 8, 8)).flatten(1)
    correlation = torch.corrcoef(noise) - torch.eye(128)
    assert correlation.abs().max() < 5.5 / 192**0.5
    assert abs(float(noise.mean())) < 5 / noise.numel() ** 0.5


def test_a_generator_moves_on_after_the_initial_noise() -> None:
    sources = generators(0, [3])
    first, second = initial_noise(sources, (1, 4, 4)), initial_noise(sources, (1, 4, 4))
    assert not torch.equal(first, second)
