"""The vectors that check GPUs, and the transcription of the package that they are checked with."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
sys.path.insert(0, str(EXPERIMENTS))

import tensorcore_codes as codes  # noqa: E402
import tensorcore_points as open_points  # noqa: E402
from tensorcore_mma import Mma, Tiles, mmas, modelled, specified  # noqa: E402
from tensorcore_tiles import diagonals, directed_tiles, exact, packed, random_tiles  # noqa: E402

HOPPER = {mma.name: mma for mma in mmas(90)}
FLOATS = [mma for mma in mmas(90) if mma.accumulator != "int32"]


@pytest.mark.parametrize("mma", FLOATS, ids=lambda mma: mma.name)
def test_the_transcription_is_the_specification(mma: Mma) -> None:
    tiles = random_tiles(mma, 7, seed=3)
    np.testing.assert_array_equal(diagonals(modelled(mma, tiles)), specified(mma, tiles))
    some, _ = directed_tiles(mma)
    some = Tiles(a=some.a[::8], b=some.b[::8], c=some.c[::8])
    np.testing.assert_array_equal(diagonals(modelled(mma, some)), specified(mma, some))


@pytest.mark.parametrize("mma", mmas(90), ids=lambda mma: mma.name)
def test_small_integers_are_exact_in_every_model(mma: Mma) -> None:
    tiles, right = exact(mma, 3)
    np.testing.assert_array_equal(modelled(mma, tiles), right)


@pytest.mark.parametrize("mma", mmas(90), ids=lambda mma: mma.name)
def test_random_tiles_are_mostly_finite_and_repeat(mma: Mma) -> None:
    tiles = random_tiles(mma, 14, seed=5)
    again = random_tiles(mma, 14, seed=5)
    assert all(np.array_equal(getattr(tiles, name), getattr(again, name)) for name in "abc")
    assert not np.array_equal(random_tiles(mma, 14, seed=6).a, tiles.a)
    if mma.accumulator != "int32":
        assert np.isfinite(codes.values(modelled(mma, tiles), mma.accumulator)).mean() > 0.6


@pytest.mark.parametrize("name", ["fp16", "bf16", "tf32", "e4m3", "e5m2", "int8"])
def test_patterns_and_numbers_are_inverse(name: str) -> None:
    count = 1 << min(8 * codes.BYTES[name], 16)
    bits = np.arange(count).astype(codes.storage(name))
    bits = bits << np.uint32(13) if name == "tf32" else bits
    numbers = codes.values(bits, name)
    same = ~np.isnan(numbers)
    np.testing.assert_array_equal(codes.patterns(numbers, name)[same], bits[same])


def test_low_bits_of_tf32_are_cut() -> None:
    raw = np.array([0x3F801FFF, 0xBF803FFF], np.uint32)
    assert codes.values(raw, "tf32").view(np.uint32).tolist() == [0x3F800000, 0xBF802000]


def test_words_lie_in_little_endian_order() -> None:
    assert codes.words(np.array([[1, 2, 3, 4]], np.uint8)).tolist() == [[0x04030201]]
    assert codes.words(np.array([[1, 2]], np.uint16)).tolist() == [[0x00020001]]


POINTS = list(open_points.points(mmas(90)))


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.mma.name}: {point.title}")
def test_vectors_tell_all_models_of_an_open_point_apart(point: open_points.Point) -> None:
    predicted = [point.predicted(model) for model in point.models]
    for one, other in itertools.combinations(predicted, 2):
        assert (one != other).any()


def test_every_open_point_has_its_vectors() -> None:
    found = [(point.mma.instruction, point.mma.a, point.title.split(",")[0]) for point in POINTS]
    for wanted in [
        ("wgmma", "bf16", "least exponent of the alignment where c is 0"),
        ("mma", "tf32", "products of one fused sum at K = 8"),
        ("mma", "tf32", "the 13 low bits of tf32 operands"),
        ("wgmma", "e4m3", "c other than 0"),
        ("mma", "e5m2", "what FP8 mma.sync is made of"),
    ]:
        assert wanted in found


def test_the_verdict_is_the_model_that_made_the_outputs() -> None:
    [point] = [p for p in POINTS if p.mma.name == "wgmma.bf16.fp32"]
    truth = point.models[2]
    lines = open_points.verdict(point, modelled(point.mma, point.tiles, truth.unit))
    assert lines[-1] == "  -> aligned to 2^-133 at least"
    assert open_points.verdict(point, np.full_like(point.tiles.c, 7))[-1] == "  -> none of these"


def test_a_tiny_sum_decides_the_least_exponent() -> None:
    """Eight products of 2^-152: nothing where terms are aligned to 2^-126, fp32's least number where they are not."""
    [point] = [p for p in POINTS if p.mma.name == "mma.bf16.fp32"]
    assert [int(point.predicted(model)[0]) for model in point.models] == [0, 1, 1, 1]


def test_packed_pairs_meet_on_the_diagonals() -> None:
    mma = HOPPER["wgmma.e4m3.fp32"]
    tiles = random_tiles(mma, 2, seed=1)
    a, b, c = tiles.a[0, :10], tiles.a[1, :10], np.arange(10, dtype=np.uint32)
    made = packed(mma, a, b, c)
    assert made.a.shape == (2, 64, 32)
    for i in range(10):
        tile, place = divmod(i, 8)
        assert np.array_equal(made.a[tile, place], a[i])
        assert np.array_equal(made.b[tile, place], b[i])
        assert made.c[tile, place, place] == i
