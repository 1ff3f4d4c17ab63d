"""Improved precision and recall: how many samples lie within the other set's neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.feature_array import checked, same_length


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecall:
    """Fractions in [0, 1]: of the samples within the reference's neighbourhoods, and conversely."""

    precision: float
    recall: float


def precision_recall(
    samples: NDArray[Any], reference: NDArray[Any], *, k: int = 3, block: int = 256
) -> PrecisionRecall:
    """Precision and recall of samples against a reference.

    A set's manifold is the union of balls around its points, each up to the point's k-th nearest neighbour of its own
    set; precision is the fraction of samples in the reference's manifold, recall that of the reference in the
    samples'. Both depend on the numbers of samples: compare equal ones only.

    Args:
        samples: features [m, d], m above k.
        reference: features [n, d], n above k.
        k: the neighbour that gives a ball its radius.
        block: rows of the distance matrix that are held at a time, so memory is a few times 8 · block · max(m, n)
            bytes beside the features in float64.

    Raises:
        FpsimError: no more than k samples, different lengths, NaN or infinities.

    Source:
        T. Kynkäänniemi et al., Improved Precision and Recall Metric for Assessing Generative Models, NeurIPS 2019.
    """
    if k < 1 or block < 1:
        raise FpsimError(f"k is {k} and block {block}: both are at least 1")
    a, b = (np.asarray(checked(z, least=k + 1), dtype=np.float64) for z in (samples, reference))
    same_length(a, b)
    # Distances do not change with the origin, and near it the squares lose fewest digits.
    centre = b.mean(axis=0)
    a, b = a - centre, b - centre
    return PrecisionRecall(precision=_covered(a, b, k, block), recall=_covered(b, a, k, block))


def _covered(points: NDArray[np.float64], manifold: NDArray[np.float64], k: int, block: int) -> float:
    """The fraction of points within the manifold's balls."""
    radii = np.concatenate([_kth(squares, start, k) for start, squares in _squares(manifold, manifold, block)])
    hits = sum(int((squares <= radii).any(axis=1).sum()) for _, squares in _squares(points, manifold, block))
    return hits / len(points)


def _kth(squares: NDArray[np.float64], start: int, k: int) -> NDArray[np.float64]:
    """The squared distance to the k-th neighbour, for rows that begin at index ``start``; a point is not its own."""
    index = np.arange(len(squares))
    squares[index, start + index] = np.inf
    return np.asarray(np.partition(squares, k - 1, axis=1)[:, k - 1])


def _squares(x: NDArray[np.float64], y: NDArray[np.float64], block: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Squared distances of blocks of x to all of y; those within rounding of 0 (copies of a point) are 0."""
    norms = np.einsum("ij,ij->i", y, y)
    for start in range(0, len(x), block):
        rows = x[start : start + block]
        scale = np.einsum("ij,ij->i", rows, rows)[:, None] + norms
        squares = scale - 2.0 * (rows @ y.T)
        squares[squares <= 8 * np.finfo(np.float64).eps * scale] = 0.0
        yield start, squares
