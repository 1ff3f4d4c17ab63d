"""The Fréchet distance against scipy's matrix root, closed forms and laws; merging of its statistics."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.frechet import FeatureStatistics, FrechetReference, Gaussian, frechet_distance


def features(count: int, size: int, seed: int, offset: float = 0.0) -> NDArray[np.float64]:
    """Correlated features of very different variances, as those of a trained network are."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(size, size)) * np.logspace(0, -3, size)
    return rng.normal(size=(count, size)) @ mix + rng.normal(size=size) + offset


def gaussian(x: NDArray[np.float64], *, allow_singular: bool = False) -> Gaussian:
    return FeatureStatistics.of(x).gaussian(allow_singular=allow_singular)


def fid(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return frechet_distance(gaussian(x), gaussian(y))


@pytest.mark.parametrize(("size", "seed"), [(1, 0), (5, 1), (32, 2), (64, 3)])
def test_equals_the_matrix_root_of_scipy(size: int, seed: int) -> None:
    x, y = features(400, size, seed), features(300, size, seed + 50)
    a, b = np.atleast_2d(np.cov(x, rowvar=False)), np.atleast_2d(np.cov(y, rowvar=False))
    root = scipy.linalg.sqrtm(a @ b).real
    step = x.mean(0) - y.mean(0)
    wanted = step @ step + np.trace(a) + np.trace(b) - 2 * np.trace(root)
    assert fid(x, y) == pytest.approx(wanted, abs=1e-6, rel=1e-9)


def test_closed_form_for_diagonal_gaussians() -> None:
    mean, ours, theirs = np.array([1.0, -2.0, 0.5]), np.array([4.0, 9.0, 0.25]), np.array([1.0, 16.0, 1.0])
    a = Gaussian(mean=mean, covariance=np.diag(ours))
    b = Gaussian(mean=np.zeros(3), covariance=np.diag(theirs))
    wanted = mean @ mean + np.sum((np.sqrt(ours) - np.sqrt(theirs)) ** 2)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-12)


def test_one_covariance_a_multiple_of_the_other() -> None:
    covariance = np.cov(features(500, 20, 4), rowvar=False)
    a, b = Gaussian(mean=np.zeros(20), covariance=covariance), Gaussian(mean=np.ones(20), covariance=9 * covariance)
    assert frechet_distance(a, b) == pytest.approx(20 + 4 * np.trace(covariance), rel=1e-9)


def test_zero_for_equal_sets_and_positive_otherwise() -> None:
    x = features(200, 24, 5)
    assert 0 <= fid(x, x) < 1e-9 * np.trace(np.cov(x, rowvar=False))
    assert fid(x, x + 0.1) == pytest.approx(24 * 0.01, rel=1e-6)


def test_symmetric_and_unchanged_by_rotation_and_permutation() -> None:
    x, y = features(200, 16, 6), features(150, 16, 7)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))
    order = np.random.default_rng(1).permutation(16)
    wanted = fid(x, y)
    assert fid(y, x) == pytest.approx(wanted, rel=1e-9)
    assert fid(x @ rotation, y @ rotation) == pytest.approx(wanted, rel=1e-9)
    assert fid(x[:, order], y[:, order]) == pytest.approx(wanted, rel=1e-9)
    assert fid(x[::-1], y) == pytest.approx(wanted, rel=1e-9)
    assert fid(3 * x, 3 * y) == pytest.approx(9 * wanted, rel=1e-9)


def test_singular_covariances_have_no_offset_and_no_complex_part() -> None:
    """Two samples along one axis each: the roots are known, and no small multiple of the unit matrix is added."""
    x, y = np.zeros((2, 50)), np.zeros((2, 50))
    x[:, 0], y[:, 0] = [-1, 1], [-3, 3]
    assert frechet_distance(gaussian(x, allow_singular=True), gaussian(y, allow_singular=True)) == pytest.approx(8.0)
    y[:] = 0
    y[:, 7] = [-3, 3]
    assert frechet_distance(gaussian(x, allow_singular=True), gaussian(y, allow_singular=True)) == pytest.approx(20.0)


@pytest.mark.parametrize(("ours", "theirs", "seed"), [(10, 12, 0), (10, 90, 1), (39, 3, 2)])
def test_singular_covariances_in_general_position(ours: int, theirs: int, seed: int) -> None:
    """The trace of the root is the sum of the singular values of one centred set against the other."""
    x, y = features(ours, 40, seed), features(theirs, 40, seed + 9)
    a, b = ((z - z.mean(axis=0)) / np.sqrt(len(z) - 1) for z in (x, y))
    step = x.mean(axis=0) - y.mean(axis=0)
    wanted = step @ step + (a**2).sum() + (b**2).sum() - 2 * np.linalg.norm(a @ b.T, "nuc")
    found = frechet_distance(gaussian(x, allow_singular=True), gaussian(y, allow_singular=True))
    assert found == pytest.approx(wanted, rel=1e-6)


def test_constant_features_have_the_distance_of_their_means() -> None:
    x, y = np.ones((5, 3)), np.full((4, 3), 2.0)
    assert frechet_distance(gaussian(x), gaussian(y)) == 3.0
    assert frechet_distance(gaussian(x), gaussian(y + features(4, 3, 0))) > 3.0


def test_a_reference_serves_many() -> None:
    x, y, z = (gaussian(features(60, 8, seed)) for seed in (1, 2, 3))
    reference = FrechetReference(x)
    assert reference.distance(y) == frechet_distance(x, y)
    assert reference.distance(z) == frechet_distance(x, z)


@settings(deadline=None, max_examples=30)
@given(cuts=st.lists(st.integers(1, 299), min_size=1, max_size=6, unique=True), data=st.data())
def test_merging_shards_is_one_pass_in_any_order(cuts: list[int], data: st.DataObject) -> None:
    x = features(300, 6, 8, offset=1000.0)
    shards = [FeatureStatistics.of(part) for part in np.split(x, sorted(cuts))]
    merged = None
    for shard in data.draw(st.permutations(shards)):
        merged = shard if merged is None else merged.merged(shard)
    assert merged is not None
    whole = FeatureStatistics.of(x)
    assert merged.count == whole.count == 300
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    assert np.abs(merged.scatter - whole.scatter).max() <= 1e-12 * np.trace(whole.scatter)


def test_merging_is_associative_and_blocks_do_not_show() -> None:
    """More samples than one block, float32, and a mean 10^4 times the deviation: no digit is lost to the mean."""
    x = (features(9000, 3, 9) + 1e4).astype(np.float32)
    found = FeatureStatistics.of(x)
    exact = x.astype(np.float64) - x.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(found.scatter, exact.T @ exact, rtol=1e-10, atol=1e-10 * np.trace(exact.T @ exact))
    a, b, c = (FeatureStatistics.of(part) for part in np.split(x, [100, 5000]))
    for first, second, third in itertools.permutations((a, b, c)):
        other = first.merged(second.merged(third))
        assert np.abs(other.scatter - found.scatter).max() <= 1e-12 * np.trace(found.scatter)


def test_covariance_is_the_unbiased_one() -> None:
    x = features(40, 5, 10)
    found = gaussian(x)
    np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False), rtol=1e-12)
    assert found.count == 40


def test_too_few_samples_are_refused() -> None:
    x = features(8, 8, 11)
    with pytest.raises(FpsimError, match=r"8 samples of 8 features .* needs more than 8"):
        gaussian(x)
    assert gaussian(x, allow_singular=True).count == 8
    with pytest.raises(FpsimError, match="at least 2"):
        gaussian(x[:1], allow_singular=True)


def test_bad_features_are_refused() -> None:
    x = features(10, 3, 12)
    x[4, 1] = np.nan
    with pytest.raises(FpsimError, match="sample 4 hold NaN"):
        FeatureStatistics.of(x)
    with pytest.raises(FpsimError, match=r"floats \[N, d\]"):
        FeatureStatistics.of(np.zeros((3, 2), np.int64))
    with pytest.raises(FpsimError, match="at least 1"):
        FeatureStatistics.of(np.zeros((0, 2)))
    with pytest.raises(FpsimError, match="same network"):
        FeatureStatistics.of(features(5, 2, 0)).merged(FeatureStatistics.of(features(5, 3, 0)))
    with pytest.raises(FpsimError, match="same network"):
        frechet_distance(gaussian(features(9, 2, 0)), gaussian(features(9, 3, 0)))
    with pytest.raises(FpsimError, match=r"\[d\] and \[d, d\]"):
        Gaussian(mean=np.zeros(2), covariance=np.eye(3))
    with pytest.raises(FpsimError, match="NaN"):
        Gaussian(mean=np.full(1, np.inf), covariance=np.eye(1))
