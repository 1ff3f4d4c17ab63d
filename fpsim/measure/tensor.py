"""Errors of one tensor against another, with bounded extra memory at any size, layout and dtype."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError

_CHUNK = 1 << 16


def sqnr_db(reference: NDArray[Any], approximation: NDArray[Any]) -> float:
    """The signal-to-quantization-noise ratio, 10 log10(Σ reference² / Σ (reference − approximation)²).

    Differences, squares and sums are float64, so float64 errors below 1e-162 count as none and float64
    values above 1e154 as infinite; narrower dtypes never reach these limits.

    Args:
        reference: any shape; any dtype that float64 holds exactly (float16, bfloat16, float32, ...).
        approximation: the same shape; its dtype may differ.

    Returns:
        Decibels. ``inf`` where the two are equal (two all-zero tensors included), ``-inf`` where the
        reference is all zero or only the approximation is infinite, ``nan`` where either holds a NaN, the
        reference is infinite, or there are no elements.

    Raises:
        FpsimError: the shapes differ, or a dtype does not convert to float64 without loss.

    >>> round(sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 3.5])), 9)
    20.0
    """
    signal, noise = _energies(reference, approximation)
    return sqnr_of_energies(signal, noise) if np.size(reference) else math.nan


def sqnr_of_energies(signal: float, noise: float) -> float:
    """The signal-to-quantization-noise ratio of sums that were collected elsewhere.

    Args:
        signal: the sum of the squared reference values.
        noise: the sum of the squared errors.

    Returns:
        Decibels, with the limits of :func:`sqnr_db`.

    >>> sqnr_of_energies(100.0, 1.0), sqnr_of_energies(1.0, 0.0), sqnr_of_energies(1.0, math.inf)
    (20.0, inf, -inf)
    """
    if math.isnan(signal) or math.isnan(noise):
        return math.nan
    if noise == 0:
        return math.inf
    if math.isinf(signal):
        return math.nan
    lost = signal == 0 or math.isinf(noise)
    return -math.inf if lost else 10.0 * (math.log10(signal) - math.log10(noise))


def mse(reference: NDArray[Any], approximation: NDArray[Any]) -> float:
    """The mean of the squared differences, in float64.

    Args:
        reference: any shape; any dtype that float64 holds exactly.
        approximation: the same shape; its dtype may differ.

    Returns:
        The mean in the square of the data's unit; ``nan`` where either holds a NaN or there are no elements.

    Raises:
        FpsimError: the shapes differ, or a dtype does not convert to float64 without loss.

    >>> mse(np.array([3.0, 4.0]), np.array([3.0, 3.5]))
    0.125
    """
    _, noise = _energies(reference, approximation)
    return noise / np.size(reference) if np.size(reference) else math.nan


def sparsity(x: NDArray[Any]) -> float:
    """The fraction of elements that are exactly zero.

    Args:
        x: any shape and any numeric dtype; −0 counts as zero, NaN does not.

    Returns:
        A number in [0, 1]; ``nan`` for an array without elements.

    Raises:
        FpsimError: the dtype does not convert to float64 without loss.

    >>> sparsity(np.array([0.0, -0.0, 1e-45, 2.0]))
    0.5
    """
    _check_dtype(x)
    return (np.size(x) - int(np.count_nonzero(x))) / np.size(x) if np.size(x) else math.nan


def _energies(reference: NDArray[Any], approximation: NDArray[Any]) -> tuple[float, float]:
    """Sums of the squares of the reference and of the difference, chunk by chunk in logical C order."""
    signal, noise = [0.0], [0.0]
    # Differences of infinities and overflowing squares have their documented results, without a warning.
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        for exact, approximate in _chunks(reference, approximation):
            signal.append(float(np.sum(np.square(exact))))
            difference = exact - approximate
            noise.append(float(np.sum(np.square(difference, out=difference))))
    return sum(signal), sum(noise)


def _chunks(
    reference: NDArray[Any], approximation: NDArray[Any]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Pairs of flat float64 arrays of ``_CHUNK`` elements, the last one shorter."""
    _check_dtype(reference)
    _check_dtype(approximation)
    if np.shape(reference) != np.shape(approximation):
        raise FpsimError(
            f"tensors of shapes {np.shape(reference)} and {np.shape(approximation)} were given: "
            "an error needs two of the same shape"
        )
    pieces = [_flat(reference), _flat(approximation)]
    for start in range(0, int(np.size(reference)), _CHUNK):
        exact, approximate = (np.asarray(flat[start : start + _CHUNK], dtype=np.float64) for flat in pieces)
        yield exact, approximate


def _flat(x: NDArray[Any]) -> Any:
    """The elements in logical order, sliceable without copying more than the slice, whatever the layout."""
    array = np.asarray(x)
    return array.reshape(-1) if array.flags.c_contiguous else array.flat


def _check_dtype(x: NDArray[Any]) -> None:
    """Refuse what float64 cannot hold: complex, object, text and extended precision."""
    dtype = np.asarray(x).dtype
    if not np.can_cast(dtype, np.float64, casting="safe"):
        raise FpsimError(f"a tensor of dtype {dtype} was given: convert it to float64 or a narrower real dtype first")
