"""LPIPS from maps and heads against loops."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.lpips import lpips_distance

SHAPES = ((3, 4, 5, 6), (3, 7, 2, 1))


def maps(seed: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    return [rng.random(shape, dtype=np.float32) for shape in SHAPES]


HEADS = [np.linspace(0.1, 1, shape[1]) for shape in SHAPES]


def test_equals_loops_over_layers_and_positions() -> None:
    a, b = maps(0), maps(1)
    found = lpips_distance(a, b, HEADS)
    for n in range(3):
        total = 0.0
        for x, y, head in zip(a, b, HEADS, strict=True):
            values = []
            for row in range(x.shape[2]):
                for column in range(x.shape[3]):
                    p, q = (z[n, :, row, column].astype(float) for z in (x, y))
                    difference = p / np.linalg.norm(p) - q / np.linalg.norm(q)
                    values.append(head @ difference**2)
            total += np.mean(values)
        assert found[n] == pytest.approx(total, rel=1e-8)


def test_zero_where_equal_symmetric_and_blind_to_the_length_of_features() -> None:
    a, b = maps(2), maps(3)
    assert (lpips_distance(a, a, HEADS) == 0).all()
    np.testing.assert_array_equal(lpips_distance(a, b, HEADS), lpips_distance(b, a, HEADS))
    np.testing.assert_allclose(lpips_distance([5 * x for x in a], b, HEADS), lpips_distance(a, b, HEADS), rtol=1e-6)
    dead = [np.zeros_like(x) for x in a]
    assert np.isfinite(lpips_distance(dead, b, HEADS)).all()


def test_what_does_not_fit_is_refused() -> None:
    a = maps(4)
    with pytest.raises(FpsimError, match="2 and 1 maps with 2 heads"):
        lpips_distance(a, a[:1], HEADS)
    with pytest.raises(FpsimError, match="with a head of"):
        lpips_distance(a, a, HEADS[::-1])
    a[1][2, 0, 0, 0] = np.nan
    with pytest.raises(FpsimError, match="image 2 hold NaN"):
        lpips_distance(a, a, HEADS)
