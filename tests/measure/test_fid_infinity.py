"""FID at infinitely many samples: the line, its error, and the bias that it removes."""

from __future__ import annotations

import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.measure.fid_infinity import fid_infinity, fit
from fpsim.measure.frechet import FeatureStatistics, Gaussian, frechet_distance


def test_the_intercept_of_a_line_is_recovered() -> None:
    counts = tuple(int(n) for n in np.linspace(5000, 50000, 15))
    found = fit(counts, tuple(3.25 + 812.0 / n for n in counts))
    assert found.value == pytest.approx(3.25, rel=1e-12)
    assert found.slope == pytest.approx(812.0, rel=1e-9)
    assert found.error < 1e-10


def test_the_line_and_its_error_are_those_of_least_squares() -> None:
    counts = tuple(int(n) for n in np.linspace(500, 5000, 15))
    noise = np.random.default_rng(0).normal(0, 0.1, 15)
    distances = tuple(float(5 + 900 / n + e) for n, e in zip(counts, noise, strict=True))
    found = fit(counts, distances)
    design = np.stack([np.ones(15), 1 / np.array(counts)], axis=1)
    solution, residual, *_ = np.linalg.lstsq(design, np.array(distances), rcond=None)
    covariance = np.linalg.inv(design.T @ design) * residual[0] / 13
    assert (found.value, found.slope) == pytest.approx(tuple(solution), rel=1e-9)
    assert found.error == pytest.approx(np.sqrt(covariance[0, 0]), rel=1e-6)
    assert abs(found.value - 5) < 4 * found.error


def test_removes_most_of_the_bias() -> None:
    """Samples of the reference itself: the true distance is 0, FID_N is not."""
    size = 8
    reference = Gaussian(mean=np.zeros(size), covariance=np.eye(size))
    x = np.random.default_rng(1).normal(size=(1500, size))
    biased = frechet_distance(reference, FeatureStatistics.of(x[:750]).gaussian())
    found = fid_infinity(x, reference, seed=3)
    assert biased > 0.01
    assert abs(found.value) < 0.4 * biased
    assert (found.counts[0], found.counts[-1], len(found.counts)) == (750, 1500, 15)
    assert found.slope > 0


def test_the_seed_decides_the_subsets() -> None:
    reference = Gaussian(mean=np.zeros(2), covariance=np.eye(2))
    x = np.random.default_rng(2).normal(size=(200, 2))
    first, again, other = (fid_infinity(x, reference, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.distances != other.distances
    assert first.distances[-1] == other.distances[-1]  # all samples


def test_too_few_samples_are_refused() -> None:
    reference = Gaussian(mean=np.zeros(60), covariance=np.eye(60))
    x = np.random.default_rng(3).normal(size=(70, 60))
    with pytest.raises(FpsimError, match="15 sizes of subsets between 61 and 70"):
        fid_infinity(x, reference)
    assert fid_infinity(x, reference, allow_singular=True).counts[0] == 35
    with pytest.raises(FpsimError, match="at least 30"):
        fid_infinity(x[:29], reference)
    with pytest.raises(FpsimError, match="three of each"):
        fit((1, 2), (1.0, 2.0))
