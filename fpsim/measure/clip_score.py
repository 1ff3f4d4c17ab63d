"""The CLIP score of given image and text embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.feature_array import checked, same_length


def clip_score(images: NDArray[Any], texts: NDArray[Any]) -> NDArray[np.float64]:
    """max(100 · cos, 0) of each image with its own text; name the CLIP model beside the figure.

    Args:
        images: embeddings [N, d].
        texts: embeddings [N, d], the text at the same index.

    Returns:
        float64 [N] in [0, 100].

    Raises:
        FpsimError: the shapes differ, an embedding is zero, NaN or infinite.

    Source:
        J. Hessel et al., CLIPScore: A Reference-free Evaluation Metric for Image Captioning, 2021; the factor 100
        (theirs is 2.5) is the one that tables use.

    >>> clip_score(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[3.0, 4.0], [-1.0, 0.0]])).round(9)
    array([60.,  0.])
    """
    a, b = (np.asarray(checked(z), dtype=np.float64) for z in (images, texts))
    same_length(a, b)
    if len(a) != len(b):
        raise FpsimError(f"{len(a)} images and {len(b)} texts were given: each image needs its own text")
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if not norms.all():
        raise FpsimError(f"the embedding of sample {int(np.argmin(norms))} is zero: it has no direction")
    return np.asarray(np.clip(100.0 * np.einsum("ij,ij->i", a, b) / norms, 0.0, 100.0), dtype=np.float64)
