"""The kernel distance of two feature sets: unbiased at any number of samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.measure.feature_array import checked, same_length

#: Elements of the kernel matrix that are held at a time.
_BLOCK = 1 << 21


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDistance:
    """An estimate of KID and its uncertainty.

    Attributes:
        value: the estimate, unbiased; it may be below 0 where the sets are alike.
        error: its standard error. By subsets, the standard deviation over the subsets (as others print it), which is
            not the error of their mean.
        subsets: how many subsets were drawn; 0 for all samples at once.
    """

    value: float
    error: float
    subsets: int = 0


def kid(x: NDArray[Any], y: NDArray[Any]) -> KernelDistance:
    """The squared maximum mean discrepancy of all samples, with the kernel (x·y / d + 1)³.

    The standard error is the jackknife's, leaving out one sample of either set at a time.

    Args:
        x: features [m, d], m at least 3.
        y: features [n, d], n at least 3; m and n may differ.

    Raises:
        FpsimError: too few samples, different lengths, NaN or infinities.

    Source:
        M. Bińkowski et al., Demystifying MMD GANs, ICLR 2018, equation 4.
    """
    x, y = checked(x, least=3), checked(y, least=3)
    same_length(x, y)
    m, n = len(x), len(y)
    xx, _ = _sums(x, x, skip_diagonal=True)
    yy, _ = _sums(y, y, skip_diagonal=True)
    xy, yx = _sums(x, y)
    value = xx.sum() / (m * (m - 1)) + yy.sum() / (n * (n - 1)) - 2 * xy.sum() / (m * n)
    # The terms of one set alone that leaving out a sample changes; the other terms drop out of the deviations.
    without_x = (xx.sum() - 2 * xx) / ((m - 1) * (m - 2)) - 2 * (xy.sum() - xy) / ((m - 1) * n)
    without_y = (yy.sum() - 2 * yy) / ((n - 1) * (n - 2)) - 2 * (yx.sum() - yx) / ((n - 1) * m)
    variance = (m - 1) * np.var(without_x) + (n - 1) * np.var(without_y)
    return KernelDistance(value=float(value), error=float(np.sqrt(variance)))


def kid_subsets(
    x: NDArray[Any], y: NDArray[Any], *, size: int = 1000, subsets: int = 100, seed: int = 0
) -> KernelDistance:
    """The mean of KID over random subsets, drawn without replacement from either set, as tables report it.

    Args:
        x: features [m, d].
        y: features [n, d].
        size: samples of a subset, at least 2.
        subsets: how many.
        seed: decides which samples.

    Raises:
        FpsimError: a subset larger than a set, different lengths, NaN or infinities.
    """
    x, y = checked(x), checked(y)
    same_length(x, y)
    if not 2 <= size <= min(len(x), len(y)) or subsets < 1:
        raise FpsimError(
            f"{subsets} subsets of {size} samples cannot be drawn from sets of {len(x)} and {len(y)}: "
            "give a size of at least 2 that both sets have, and at least 1 subset"
        )
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        a, b = (z[rng.choice(len(z), size, replace=False)] for z in (x, y))
        within = sum(_sums(z, z, skip_diagonal=True)[0].sum() for z in (a, b)) / (size * (size - 1))
        values.append(within - 2 * _sums(a, b)[0].sum() / size**2)
    return KernelDistance(value=float(np.mean(values)), error=float(np.std(values)), subsets=subsets)


def _sums(
    x: NDArray[Any], y: NDArray[Any], *, skip_diagonal: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column sums of the kernel matrix [m, n], never held as a whole."""
    rows, columns = np.zeros(len(x)), np.zeros(len(y))
    wide = np.asarray(y, dtype=np.float64)
    step = max(1, _BLOCK // len(y))
    for start in range(0, len(x), step):
        block = np.asarray(x[start : start + step], dtype=np.float64)
        kernel = (block @ wide.T / x.shape[1] + 1.0) ** 3
        if skip_diagonal:
            index = np.arange(len(block))
            kernel[index, start + index] = 0.0
        rows[start : start + step] = kernel.sum(axis=1)
        columns += kernel.sum(axis=0)
    return rows, columns
