"""FID without the bias of a finite number of samples: the intercept of FID_N against 1/N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.feature_array import checked
from fpsim.measure.frechet import FeatureStatistics, FrechetReference, Gaussian

#: How many values of N the fit takes.
POINTS = 15
_LEAST = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class InfinityFit:
    """FID at an infinite number of samples.

    Attributes:
        value: the intercept of the line through FID_N against 1/N.
        error: its standard error by the fit's residuals. The subsets overlap, so this understates it.
        slope: the bias of N samples is slope / N.
        counts: the values of N.
        distances: FID_N.
    """

    value: float
    error: float
    slope: float
    counts: tuple[int, ...]
    distances: tuple[float, ...]


def fid_infinity(
    features: NDArray[Any],
    reference: Gaussian,
    *,
    seed: int = 0,
    least: int | None = None,
    allow_singular: bool = False,
) -> InfinityFit:
    """Extrapolate FID to infinitely many samples; the reference's own bias stays.

    Args:
        features: [N, d]; random subsets of 15 sizes, evenly spaced from ``least`` to N, are compared.
        reference: the other side.
        seed: decides the subsets.
        least: the smallest subset; by default 5,000, or less where N is below 10,000: N / 2, or d + 1 if that is more
            (below a few times d, FID_N is no straight line in 1/N).
        allow_singular: accept subsets of no more samples than features.

    Raises:
        FpsimError: too few samples for 15 sizes, NaN or infinities, another length.

    Source:
        M. J. Chong, D. Forsyth, Effectively Unbiased FID and Inception Score and Where to Find Them, CVPR 2020.
    """
    array = checked(features, least=2 * POINTS)
    total, size = array.shape
    if least is None:
        least = min(_LEAST, total // 2)
        least = least if allow_singular else max(least, size + 1)
    if least + POINTS > total:
        raise FpsimError(
            f"FID-infinity needs {POINTS} sizes of subsets between {least} and {total} samples: more samples are needed"
        )
    counts = np.linspace(least, total, POINTS).astype(int)
    rng, against = np.random.default_rng(seed), FrechetReference(reference)
    distances = [
        against.distance(_subset(array, count, rng).gaussian(allow_singular=allow_singular)) for count in counts
    ]
    return fit(tuple(int(count) for count in counts), tuple(distances))


def fit(counts: tuple[int, ...], distances: tuple[float, ...]) -> InfinityFit:
    """The least-squares line of distances against 1 / counts.

    Args:
        counts: numbers of samples, at least three different ones.
        distances: FID at each.

    Raises:
        FpsimError: fewer than three points.

    >>> found = fit((100, 200, 400), (5 + 3.0, 5 + 1.5, 5 + 0.75))
    >>> round(found.value, 9), round(found.slope, 6)
    (5.0, 300.0)
    """
    if len(set(counts)) < 3 or len(counts) != len(distances):
        raise FpsimError(f"{len(counts)} counts and {len(distances)} distances were given: a line needs three of each")
    x, y = 1.0 / np.asarray(counts, dtype=np.float64), np.asarray(distances, dtype=np.float64)
    spread = float(np.sum((x - x.mean()) ** 2))
    slope = float(np.sum((x - x.mean()) * (y - y.mean()))) / spread
    value = float(y.mean() - slope * x.mean())
    variance = float(np.sum((y - value - slope * x) ** 2)) / (len(x) - 2)
    error = float(np.sqrt(variance * (1.0 / len(x) + x.mean() ** 2 / spread)))
    return InfinityFit(value=value, error=error, slope=slope, counts=tuple(counts), distances=tuple(distances))


def _subset(array: NDArray[Any], count: int, rng: np.random.Generator) -> FeatureStatistics:
    return FeatureStatistics.of(array if count == len(array) else array[rng.choice(len(array), count, replace=False)])
