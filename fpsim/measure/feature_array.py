"""The check that every measure on features begins with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError


def checked(features: NDArray[Any], *, least: int = 1) -> NDArray[Any]:
    """Features as they were given, if they are some.

    Args:
        features: [N, d], a float type.
        least: smallest N.

    Raises:
        FpsimError: another shape or type, fewer samples, or NaN or infinities.
    """
    array = np.asarray(features)
    if array.ndim != 2 or not array.shape[1] or not np.issubdtype(array.dtype, np.floating):
        raise FpsimError(
            f"an array of dtype {array.dtype} and shape {array.shape} was given: features are floats [N, d]"
        )
    if len(array) < least:
        raise FpsimError(f"features of {len(array)} samples were given: this measure needs at least {least}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise FpsimError(f"the features of sample {bad[0]} hold NaN or infinities: compute them again")
    return array


def same_length(a: NDArray[Any], b: NDArray[Any]) -> None:
    """Refuse features of different lengths.

    Raises:
        FpsimError: they differ.
    """
    if a.shape[1] != b.shape[1]:
        raise FpsimError(
            f"features of {a.shape[1]} and of {b.shape[1]} numbers were given: compute both with the same network"
        )
