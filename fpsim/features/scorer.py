"""Figures of sets of images against one reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.features.cache import features_of
from fpsim.features.images import ImageSet
from fpsim.features.lpips import Lpips
from fpsim.features.metrics import Metric
from fpsim.features.network import FeatureNetwork, Features
from fpsim.features.statistics import ReferenceStatistics
from fpsim.measure import paired
from fpsim.measure.fid_infinity import fid_infinity
from fpsim.measure.frechet import FeatureStatistics, FrechetReference, Gaussian
from fpsim.measure.kid import kid
from fpsim.measure.precision_recall import precision_recall


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A value, its standard error and the values of single images, where there are such."""

    value: float
    error: float | None = None
    per_image: tuple[float, ...] | None = None


class Scorer:
    """Computes figures against one reference, whose features and covariance roots it takes once.

    Args:
        reference: the reference's images; None where only its statistics are known.
        statistics: the reference's statistics in place of images.
        network: for metrics on features.
        lpips: for LPIPS.
        spatial: whether spatial features will be needed.
        cache: folder for features; by default beside each set.
        seed: decides the subsets of FID-infinity.
        allow_singular: accept fewer images than make a covariance of full rank.
    """

    def __init__(
        self,
        reference: ImageSet | None,
        *,
        statistics: ReferenceStatistics | None = None,
        network: FeatureNetwork | None = None,
        lpips: Lpips | None = None,
        spatial: bool = False,
        cache: Path | None = None,
        seed: int = 0,
        allow_singular: bool = False,
    ) -> None:
        self.reference, self.statistics, self.network, self.lpips = reference, statistics, network, lpips
        self.spatial, self.cache, self.seed, self.allow_singular = spatial, cache, seed, allow_singular
        self._features: dict[int, Features] = {}
        self._roots: dict[bool, FrechetReference] = {}

    def figures(self, metric: Metric, images: ImageSet) -> tuple[Figure, ...]:
        """The figures of a metric, in the order of ``metric.figures``.

        Args:
            metric: which; what it needs was given.
            images: the set to score.

        Raises:
            FpsimError: too few images, or what the lower layers refuse.
        """
        known: dict[str, Callable[[ImageSet], tuple[Figure, ...]]] = {
            "psnr": self._psnr, "ssim": self._ssim, "lpips": self._lpips, "fid": self._fid, "sfid": self._sfid,
            "kid": self._kid, "fid-inf": self._fid_infinity, "pr": self._precision_recall,
        }  # fmt: skip
        return known[metric.name](images)

    def gaussian(self, images: ImageSet, *, spatial: bool = False) -> Gaussian:
        """Mean and covariance of a set's features.

        Raises:
            FpsimError: too few images.
        """
        try:
            return FeatureStatistics.of(self._values(images, spatial)).gaussian(allow_singular=self.allow_singular)
        except FpsimError as error:
            raise self._advised(error, images) from error

    def _psnr(self, images: ImageSet) -> tuple[Figure, ...]:
        values = paired.psnr_db(self._images(), images.images)
        scores = paired.PairedScores(psnr_db=values, ssim=np.zeros(0))
        return (Figure(value=scores.psnr_db_mean, per_image=tuple(values.tolist())),)

    def _ssim(self, images: ImageSet) -> tuple[Figure, ...]:
        return (_mean(paired.ssim(self._images(), images.images)),)

    def _lpips(self, images: ImageSet) -> tuple[Figure, ...]:
        if self.lpips is None:
            raise FpsimError("LPIPS needs its weights: name their file")
        return (_mean(self.lpips(self._images(), images.images)),)

    def _fid(self, images: ImageSet) -> tuple[Figure, ...]:
        return (Figure(value=self._root(spatial=False).distance(self.gaussian(images))),)

    def _sfid(self, images: ImageSet) -> tuple[Figure, ...]:
        return (Figure(value=self._root(spatial=True).distance(self.gaussian(images, spatial=True))),)

    def _kid(self, images: ImageSet) -> tuple[Figure, ...]:
        found = kid(self._values(images), self._values(self._set()))
        return (Figure(value=found.value, error=found.error),)

    def _fid_infinity(self, images: ImageSet) -> tuple[Figure, ...]:
        reference = self._root(spatial=False).gaussian
        try:
            found = fid_infinity(self._values(images), reference, seed=self.seed, allow_singular=self.allow_singular)
        except FpsimError as error:
            raise FpsimError(f"{images.name}: {error}") from error
        return (Figure(value=found.value, error=found.error),)

    def _precision_recall(self, images: ImageSet) -> tuple[Figure, ...]:
        found = precision_recall(self._values(images), self._values(self._set()))
        return Figure(value=found.precision), Figure(value=found.recall)

    def _root(self, *, spatial: bool) -> FrechetReference:
        if spatial not in self._roots:
            self._roots[spatial] = FrechetReference(self._reference_gaussian(spatial=spatial))
        return self._roots[spatial]

    def _reference_gaussian(self, *, spatial: bool) -> Gaussian:
        if self.statistics is None:
            return self.gaussian(self._set(), spatial=spatial)
        found = self.statistics.spatial if spatial else self.statistics.pooled
        if found is None:
            raise FpsimError(f"{self.statistics.name} holds no statistics of spatial features (mu_s, sigma_s) for sfid")
        return found

    def _values(self, images: ImageSet, spatial: bool = False) -> NDArray[np.float32]:
        if self.network is None:
            raise FpsimError("metrics on features need a network: name its file")
        if id(images) not in self._features:
            self._features[id(images)] = features_of(images, self.network, spatial=self.spatial, folder=self.cache)
        found = self._features[id(images)]
        if not spatial:
            return found.pooled
        if found.spatial is None:
            raise FpsimError(f"{self.network.record.name} returns no spatial maps, which sfid needs")
        return found.spatial

    def _set(self) -> ImageSet:
        if self.reference is None:
            raise FpsimError("this metric needs the reference's images, not its statistics")
        return self.reference

    def _images(self) -> NDArray[np.uint8]:
        return self._set().images

    def _advised(self, error: FpsimError, images: ImageSet) -> FpsimError:
        return FpsimError(f"{images.name}: {error}; take more, or kid, or --allow-singular")


def _mean(values: NDArray[np.float64]) -> Figure:
    """The mean over images with its standard error."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Figure(value=float(np.mean(values)), error=error, per_image=tuple(values.tolist()))
