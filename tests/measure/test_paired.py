"""Paired image scores against scikit-image's and against hand-computed values."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.paired import PairedScores, paired_scores, psnr_db, ssim

# (H, W, C, noise) of `make_pair`; SSIM and PSNR by scikit-image 0.26.0: structural_similarity(gaussian_weights=True,
# sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1) and peak_signal_noise_ratio(data_range=255).
GOLDEN = [
    ((28, 28, 1, 5), 0.9990960733754383, 38.23394498783561),
    ((32, 32, 3, 20), 0.987201012746222, 26.859998285074205),
    ((11, 11, 3, 40), 0.9497649930911868, 21.503147266247005),
    ((17, 40, 3, 60), 0.8952859716657403, 17.636001071648934),
    ((64, 48, 1, 90), 0.7909680973995398, 14.710624492913214),
]


def make_pair(height: int, width: int, channels: int, amount: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    y, x, k = np.mgrid[0:height, 0:width, 0:channels]
    reference = (x * 7 + y * y * 3 + k * 41 + (x * y) % 23 * 5) % 256
    noise = ((x * 31 + y * 17 + k * 13 + x * y * 7) % (2 * amount + 1)) - amount
    return reference.astype(np.uint8), np.clip(reference + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("case", "ssim_golden", "psnr_golden"), GOLDEN)
def test_golden_values(case: tuple[int, int, int, int], ssim_golden: float, psnr_golden: float) -> None:
    reference, image = make_pair(*case)
    assert ssim(reference[None], image[None])[0] == pytest.approx(ssim_golden, abs=1e-12)
    assert psnr_db(reference[None], image[None])[0] == pytest.approx(psnr_golden, abs=1e-10)


def test_images_are_scored_one_by_one() -> None:
    (a, b), (c, d) = make_pair(16, 20, 3, 10), make_pair(16, 20, 3, 70)
    scores = paired_scores(np.stack([a, c, a]), np.stack([b, d, a]))
    assert scores.psnr_db.dtype == scores.ssim.dtype == np.float64
    for metric, values in ((psnr_db, scores.psnr_db), (ssim, scores.ssim)):
        assert values[0] == metric(a[None], b[None])[0]
        assert values[1] == metric(c[None], d[None])[0]
    assert (scores.psnr_db[2], scores.ssim[2]) == (math.inf, 1.0)


def test_ssim_of_identical_images_is_exactly_one_and_of_inverted_ones_negative() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)
    assert (ssim(noise, noise) == 1.0).all()
    assert (ssim(noise, 255 - noise) < -0.9).all()
    flat = np.full((1, 11, 11, 1), 7, np.uint8)
    assert ssim(flat, flat)[0] == 1.0


def test_mean_psnr_is_that_of_the_mean_error() -> None:
    reference = np.zeros((2, 12, 12, 1), np.uint8)
    images = reference.copy()
    images[1] = 10
    scores = paired_scores(reference, images)
    assert scores.psnr_db[0] == math.inf
    assert scores.psnr_db_mean == pytest.approx(10 * math.log10(255**2 / 50), abs=1e-12)
    assert scores.ssim_mean == (scores.ssim[0] + scores.ssim[1]) / 2
    assert paired_scores(reference, reference).psnr_db_mean == math.inf


def test_scores_are_frozen() -> None:
    scores = PairedScores(psnr_db=np.array([30.0]), ssim=np.array([0.9]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        scores.ssim = np.array([1.0])  # type: ignore[misc]


@pytest.mark.parametrize(
    ("reference", "images", "message"),
    [
        (np.zeros((2, 12, 12, 3), np.uint8), np.zeros((3, 12, 12, 3), np.uint8), "reference of its own size"),
        (np.zeros((2, 12, 12, 3), np.uint8), np.zeros((2, 12, 12, 3), np.float32), "float32"),
        (np.zeros((12, 12, 3), np.uint8), np.zeros((12, 12, 3), np.uint8), r"\[N, H, W, C\]"),
        (np.zeros((2, 10, 12, 3), np.uint8), np.zeros((2, 10, 12, 3), np.uint8), "at least 11 x 11"),
        (np.zeros((0, 12, 12, 3), np.uint8), np.zeros((0, 12, 12, 3), np.uint8), "nothing to score"),
    ],
)
def test_bad_input_is_one_line(reference: NDArray[np.uint8], images: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(FpsimError, match=message) as error:
        paired_scores(reference, images)
    assert "\n" not in str(error.value)


def test_psnr_needs_no_window() -> None:
    tiny = np.zeros((1, 4, 4, 1), np.uint8)
    assert psnr_db(tiny, tiny + 1)[0] == pytest.approx(20 * math.log10(255))
