"""Scores of images against the full-precision images of the same seeds: PSNR and SSIM, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from fpsim.errors import FpsimError

#: The largest value of a uint8 image, the L of PSNR and SSIM.
DATA_RANGE = 255.0
#: Side of SSIM's Gaussian window in pixels, and so the smallest image.
WINDOW = 11
_SIGMA = 1.5
_C1 = (0.01 * DATA_RANGE) ** 2
_C2 = (0.03 * DATA_RANGE) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedScores:
    """Per-image scores of one set of images against its reference.

    Args:
        psnr_db: decibels, float64 [N]; ``inf`` where an image is identical to its reference.
        ssim: float64 [N], 1 where identical.
    """

    psnr_db: NDArray[np.float64]
    ssim: NDArray[np.float64]

    @property
    def psnr_db_mean(self) -> float:
        """The PSNR of the mean squared error over all images, in decibels.

        The mean of the decibels would be infinite as soon as one image is identical; this one is infinite
        only if all are. It weighs every pixel alike and is never above the mean of the decibels.
        """
        mean_error = float(np.mean(10.0 ** (-self.psnr_db / 10.0)))
        return -10.0 * float(np.log10(mean_error)) if mean_error else float("inf")

    @property
    def ssim_mean(self) -> float:
        """The arithmetic mean of the images' SSIM."""
        return float(np.mean(self.ssim))


def paired_scores(reference: NDArray[np.uint8], images: NDArray[np.uint8]) -> PairedScores:
    """PSNR and SSIM of each image against the reference image at the same index.

    Args:
        reference: uint8 [N, H, W, C], H and W at least 11.
        images: uint8, the same shape.

    Returns:
        The scores of the N images.

    Raises:
        FpsimError: shapes or dtypes do not match, no images, or images below 11 pixels.
    """
    return PairedScores(psnr_db=psnr_db(reference, images), ssim=ssim(reference, images))


def psnr_db(reference: NDArray[np.uint8], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The peak signal-to-noise ratio of each image, 10 log10(255² / MSE), over all its pixels and channels.

    Args:
        reference: uint8 [N, H, W, C].
        images: uint8, the same shape.

    Returns:
        Decibels, float64 [N]; ``inf`` where an image is identical to its reference.

    Raises:
        FpsimError: shapes or dtypes do not match, or no images.

    >>> psnr_db(np.zeros((1, 2, 2, 1), np.uint8), np.full((1, 2, 2, 1), 255, np.uint8))
    array([0.])
    """
    _check_pair(reference, images)
    squared = np.array([_squared_error(a, b) for a, b in zip(reference, images, strict=True)], dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(DATA_RANGE**2 * reference[0].size / squared), dtype=np.float64)


def ssim(reference: NDArray[np.uint8], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The structural similarity of each image with its reference.

    Weighted means, population variances and the covariance in a Gaussian window of 11 x 11 pixels (sigma 1.5,
    weights sum to 1), K1 = 0.01, K2 = 0.03, L = 255, in float64 on the uint8 values as they are: no
    conversion to luminance and no down-sampling. The map is averaged over the positions where the window
    lies fully inside the image (H − 10 by W − 10), then over the channels.

    Args:
        reference: uint8 [N, H, W, C], H and W at least 11.
        images: uint8, the same shape.

    Returns:
        float64 [N] in [−1, 1], exactly 1 where an image is identical to its reference.

    Raises:
        FpsimError: shapes or dtypes do not match, no images, or images below 11 pixels.

    Source:
        Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, Image quality assessment: from error visibility
        to structural similarity, IEEE Transactions on Image Processing 13(4), 2004, equations 13 to 17.
    """
    _check_pair(reference, images)
    if min(reference.shape[1:3]) < WINDOW:
        raise FpsimError(
            f"images of {reference.shape[1]} x {reference.shape[2]} pixels were given: "
            f"SSIM's window needs at least {WINDOW} x {WINDOW}"
        )
    pairs = zip(reference, images, strict=True)
    return np.array([_ssim_of_one(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs])


def _ssim_of_one(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    variance_x = _window_mean(x * x) - mean_x * mean_x
    variance_y = _window_mean(y * y) - mean_y * mean_y
    covariance = _window_mean(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x * mean_x + mean_y * mean_y + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float(np.mean(luminance * structure))


def _window_mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The Gaussian-weighted mean around every pixel whose window lies inside the image: [H − 10, W − 10, C]."""
    radius = WINDOW // 2
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    rows = correlate1d(x, weights, axis=0, mode="nearest")[radius:-radius]
    return np.asarray(correlate1d(rows, weights, axis=1, mode="nearest")[:, radius:-radius], dtype=np.float64)


def _squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> int:
    """Σ (a − b)² as an exact integer."""
    difference = a.astype(np.int32) - b
    return int(np.sum(np.square(difference, out=difference), dtype=np.int64))


def _check_pair(reference: NDArray[Any], images: NDArray[Any]) -> None:
    for array in (reference, images):
        if array.dtype != np.uint8 or array.ndim != 4:
            raise FpsimError(
                f"an array of dtype {array.dtype} and shape {array.shape} was given: images are uint8 [N, H, W, C]"
            )
    if reference.shape != images.shape:
        raise FpsimError(
            f"images of shape {images.shape} were given for references of shape {reference.shape}: "
            "each image needs a reference of its own size"
        )
    if reference.size == 0:
        raise FpsimError(f"images of shape {images.shape} were given: there is nothing to score")
