"""The Fréchet distance of feature sets (FID, and sFID on spatial features), from statistics that merge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.feature_array import checked

_BLOCK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """What the Fréchet distance knows of a set: mean [d], covariance [d, d], and how many samples, if that is known."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    count: int | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that do not fit and numbers that are not finite.

        Raises:
            FpsimError: one of the two.
        """
        size = self.mean.shape[0] if self.mean.ndim == 1 else -1
        if self.covariance.shape != (size, size):
            raise FpsimError(
                f"a mean of shape {self.mean.shape} and a covariance of shape {self.covariance.shape} were given: "
                "they are [d] and [d, d]"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise FpsimError("the statistics of a feature set hold NaN or infinities: compute them again")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureStatistics:
    """Count, mean and scatter of features: the sufficient statistics of FID, mergeable over shards.

    Merging is exact in this sense: the merged statistics are by algebra those of all samples together (no sample is
    approximated or weighted), and only float64 rounding, below 1e-12 of the total variance, depends on how samples
    were split and in which order shards are merged. The scatter is centred, so a large mean costs no digits.

    Attributes:
        count: samples.
        mean: float64 [d].
        scatter: float64 [d, d], the sum of (x − mean)(x − mean)ᵀ.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[Any]) -> FeatureStatistics:
        """The statistics of features.

        Args:
            features: [N, d], any float type.

        Raises:
            FpsimError: no samples, another number of axes, or NaN or infinities.

        >>> FeatureStatistics.of(np.array([[1.0], [3.0]])).scatter
        array([[2.]])
        """
        array = checked(features)
        blocks = (array[start : start + _BLOCK] for start in range(0, len(array), _BLOCK))
        return reduce(cls.merged, (cls._of_block(block.astype(np.float64)) for block in blocks))

    @classmethod
    def _of_block(cls, block: NDArray[np.float64]) -> FeatureStatistics:
        mean = block.mean(axis=0)
        centred = block - mean
        return cls(count=len(block), mean=mean, scatter=centred.T @ centred)

    def merged(self, other: FeatureStatistics) -> FeatureStatistics:
        """The statistics of both shards' samples together.

        Raises:
            FpsimError: features of different lengths.

        Source:
            T. F. Chan, G. H. Golub, R. J. LeVeque, Updating formulae and a pairwise algorithm for computing sample
            variances, 1979.
        """
        if self.mean.shape != other.mean.shape:
            raise FpsimError(
                f"shards with features of {self.mean.size} and {other.mean.size} numbers were given: "
                "compute both with the same network"
            )
        count, step = self.count + other.count, other.mean - self.mean
        weight = self.count * (other.count / count)
        return FeatureStatistics(
            count=count,
            mean=self.mean + step * (other.count / count),
            scatter=self.scatter + other.scatter + weight * np.outer(step, step),
        )

    def gaussian(self, *, allow_singular: bool = False) -> Gaussian:
        """Mean and unbiased covariance (divided by count − 1).

        Args:
            allow_singular: accept fewer samples than make a covariance of full rank. The distance then still is that
                of the two Gaussians, but its bias is large.

        Raises:
            FpsimError: fewer than two samples; or no more samples than features, unless that is allowed.
        """
        size = self.mean.size
        if self.count < 2:
            raise FpsimError(f"{self.count} sample was given: a covariance needs at least 2, and more than {size}")
        if self.count <= size and not allow_singular:
            raise FpsimError(
                f"{self.count} samples of {size} features were given: a covariance of full rank needs more than {size}"
            )
        return Gaussian(mean=self.mean, covariance=self.scatter / (self.count - 1), count=self.count)


class FrechetReference:
    """One side of the distance, its covariance's root taken once for many comparisons.

    Args:
        gaussian: the reference.
    """

    def __init__(self, gaussian: Gaussian) -> None:
        self.gaussian = gaussian
        self._root = _root(gaussian.covariance)

    def distance(self, other: Gaussian) -> float:
        """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), in float64.

        The trace of the root is the sum of the roots of the eigenvalues of RᵀΣ₂R with RRᵀ = Σ₁, which is symmetric: no
        complex numbers and no offset, whatever the ranks. Rounding below zero is returned as 0.

        Args:
            other: the other side.

        Raises:
            FpsimError: features of another length.
        """
        import scipy.linalg

        ours, theirs = self.gaussian, other
        if ours.mean.shape != theirs.mean.shape:
            raise FpsimError(
                f"statistics of {ours.mean.size} and of {theirs.mean.size} features were given: "
                "the distance needs both from the same network"
            )
        product = self._root.T @ theirs.covariance @ self._root
        values = scipy.linalg.eigvalsh((product + product.T) / 2, overwrite_a=True, check_finite=False)
        # Beyond the rank that so many samples can have, roots of rounding errors would add up.
        rank = len(values) if theirs.count is None else min(len(values), theirs.count - 1)
        root_trace = float(np.sum(np.sqrt(np.clip(values[len(values) - rank :], 0.0, None))))
        step = ours.mean - theirs.mean
        traces = float(np.trace(ours.covariance) + np.trace(theirs.covariance))
        return max(float(step @ step) + traces - 2.0 * root_trace, 0.0)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet (2-Wasserstein) distance of two Gaussians; symmetric up to rounding.

    Raises:
        FpsimError: features of different lengths.

    Source:
        M. Heusel et al., GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, 2017.

    >>> one = Gaussian(mean=np.zeros(1), covariance=np.eye(1))
    >>> frechet_distance(one, Gaussian(mean=np.full(1, 3.0), covariance=4 * np.eye(1)))
    10.0
    """
    return FrechetReference(a).distance(b)


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """A root R [d, rank] with R Rᵀ = covariance; what rounding leaves of a missing rank is left out."""
    import scipy.linalg

    values, vectors = scipy.linalg.eigh((covariance + covariance.T) / 2, check_finite=False)
    noise = len(values) * np.finfo(np.float64).eps * max(float(values[-1]), 0.0)
    kept = values > noise
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]), dtype=np.float64)
