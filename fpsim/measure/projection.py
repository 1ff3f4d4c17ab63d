"""Random projections of long feature vectors that keep inner products, with a stated error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """A sparse projection of d features onto k sums of signed features (a count sketch); no d × k matrix.

    For all u and v, ⟨Pu, Pv⟩ has the expectation ⟨u, v⟩ and a variance of at most (‖u‖² ‖v‖² + ⟨u, v⟩²) / k: see
    :func:`standard_error`. It is linear, so it may be applied before centring.

    Args:
        places: int64 ``[d]``, the sum that each feature goes to.
        signs: float32 ``[d]``, +1 or −1.
        size: k.

    Source: Charikar, Chen, Farach-Colton 2002; Weinberger et al. 2009 for inner products.
    """

    places: NDArray[np.int64]
    signs: NDArray[np.float32]
    size: int

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return ``[N, k]`` of features ``[N, d]``."""
        found = np.zeros((len(features), self.size))
        for row, values in zip(found, features, strict=True):
            row += np.bincount(self.places, weights=values * self.signs, minlength=self.size)
        return found


def projection(features: int, size: int, seed: int) -> Projection:
    """Return the projection of a seed: the same one each time.

    Args:
        features: d.
        size: k, the number of sums.
        seed: 0 or more.

    Raises:
        FpsimError: no sum.
    """
    if size < 1:
        raise FpsimError(f"a projection onto {size} numbers was asked for; give at least 1, better 4096")
    source = np.random.default_rng(seed)
    places = source.integers(size, size=features)
    signs = (2 * source.integers(2, size=features, dtype=np.int8) - 1).astype(np.float32)
    return Projection(places=places, signs=signs, size=size)


def standard_error(size: int) -> float:
    """Return the largest standard deviation of ⟨Pu, Pv⟩ / (‖u‖ ‖v‖) for a projection onto ``size`` numbers.

    >>> standard_error(5000)
    0.02
    """
    return math.sqrt(2.0 / size)
