"""Improved precision and recall against brute force and cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.precision_recall import precision_recall


def brute(samples: NDArray[np.float64], reference: NDArray[np.float64], k: int) -> tuple[float, float]:
    def covered(points: NDArray[np.float64], manifold: NDArray[np.float64]) -> float:
        radii = [sorted(np.linalg.norm(manifold - m, axis=1))[k] for m in manifold]
        return float(
            np.mean([any(np.linalg.norm(p - m) <= r for m, r in zip(manifold, radii, strict=True)) for p in points])
        )

    return covered(samples, reference), covered(reference, samples)


@pytest.mark.parametrize(("seed", "k", "block"), [(0, 3, 1024), (1, 3, 7), (2, 1, 16), (3, 5, 50)])
def test_equals_brute_force_whatever_the_block(seed: int, k: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    samples, reference = rng.normal(0.6, 0.8, (60, 3)), rng.normal(0, 1, (50, 3))
    found = precision_recall(samples, reference, k=k, block=block)
    assert (found.precision, found.recall) == brute(samples, reference, k)
    assert 0 < found.precision < 1


def test_identical_sets_cover_each_other_and_disjoint_ones_do_not() -> None:
    x = np.random.default_rng(4).normal(size=(40, 6)).astype(np.float32)
    same, apart = precision_recall(x, x.copy()), precision_recall(x, x + 1000)
    assert (same.precision, same.recall) == (1.0, 1.0)
    assert (apart.precision, apart.recall) == (0.0, 0.0)


def test_by_hand_on_a_line() -> None:
    """Reference 0, 1, 2, 3 with k = 1: radii 1. Samples at 0.5, 4, 4.5, 9: two within, radii 3.5, 0.5, 0.5, 4.5."""
    reference = np.array([[0.0], [1.0], [2.0], [3.0]])
    samples = np.array([[0.5], [4.0], [4.5], [9.0]])
    found = precision_recall(samples, reference, k=1)
    assert found.precision == 0.5  # 0.5 and, on the edge of 3's ball, 4
    assert found.recall == 1.0  # all within 3.5 of 0.5


def test_a_mode_that_is_missing_costs_recall_alone() -> None:
    rng = np.random.default_rng(5)
    modes = np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal(100, 1, (50, 2))])
    found = precision_recall(rng.permutation(modes[:50]) + 1e-3, modes)
    assert found.precision == 1.0
    assert found.recall == 0.5


@pytest.mark.parametrize("block", [1, 5, 7, 256])
def test_copies_of_a_point_have_no_distance_far_from_the_origin(block: int) -> None:
    """Copies have radius 0 at k = 3: rounding, which differs between blocks, must not push them apart."""
    points = np.random.default_rng(6).normal(1e4, 1.0, (25, 301))
    found = precision_recall(np.repeat(points, 4, axis=0), np.tile(points, (5, 1)), block=block)
    assert (found.precision, found.recall) == (1.0, 1.0)


def test_bad_input_is_refused() -> None:
    x = np.zeros((4, 2))
    with pytest.raises(FpsimError, match="at least 4"):
        precision_recall(x[:3], x)
    with pytest.raises(FpsimError, match="same network"):
        precision_recall(x, np.zeros((4, 3)))
    with pytest.raises(FpsimError, match="at least 1"):
        precision_recall(x, x, k=0)
