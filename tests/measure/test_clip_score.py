"""The CLIP score of embeddings."""

from __future__ import annotations

import numpy as np
import pytest

from fpsim.errors import FpsimError
from fpsim.measure.clip_score import clip_score


def test_hundred_times_the_cosine_and_never_below_zero() -> None:
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(6, 9)).astype(np.float32), rng.normal(size=(6, 9)).astype(np.float32)
    found = clip_score(images, texts)
    for value, a, b in zip(found, images.astype(float), texts.astype(float), strict=True):
        assert value == pytest.approx(max(100 * (a @ b) / np.sqrt((a @ a) * (b @ b)), 0.0), rel=1e-12)
    assert (found == 0).any()
    np.testing.assert_allclose(clip_score(images, 7 * images), 100.0)


def test_bad_embeddings_are_refused() -> None:
    one = np.ones((2, 3))
    with pytest.raises(FpsimError, match="each image needs its own text"):
        clip_score(one, np.ones((3, 3)))
    with pytest.raises(FpsimError, match="sample 1 is zero"):
        clip_score(one, np.array([[1.0, 1, 1], [0, 0, 0]]))
    with pytest.raises(FpsimError, match="same network"):
        clip_score(one, np.ones((2, 4)))
