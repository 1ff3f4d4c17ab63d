"""Sorted magnitudes with running sums: all that the squared error of any symmetric grid depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.numba.threads import run
from fpsim.errors import FpsimError
from fpsim.quant.search import kernels

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Magnitudes:
    """The magnitudes of each row in ascending order, divided by a power of two so that the largest is near 1.

    Args:
        values: ``[rows, n]``, float32 or float64; the largest of each row is in [½, 1), or all of them are 0. With
            ``step`` 1 each may stand for several magnitudes, whose mean it is.
        largest: ``[rows]``: the largest magnitude, divided likewise.
        exponent: ``[rows]``: magnitudes are ``values · 2^exponent``.
        heads: ``[rows, blocks]``: the first value of each block of ``step`` values.
        counts: ``[rows or 1, blocks + 1]``: how many magnitudes are before each block.
        sums: ``[rows, blocks + 1]``: their sum.
        energy: ``[rows]``: the sum of all squares.
        within: ``[rows]``: the squared differences between magnitudes and the means that stand for them.
        step: values a block.
    """

    values: NDArray[Any]
    largest: Floats
    exponent: NDArray[np.int64]
    heads: NDArray[Any]
    counts: NDArray[np.int64]
    sums: Floats
    energy: Floats
    within: Floats
    step: int

    @property
    def count(self) -> int:
        """Magnitudes a row, on average where rows differ."""
        return int(self.counts[:, -1].mean())


def magnitudes(x: NDArray[Any], name: str = "the tensor") -> Magnitudes:
    """Sort the magnitudes of each row.

    The running sums are those of blocks of 16 values, with what each addition loses carried on: at any length their
    relative error stays below 2^−52 (a plain cumulative sum of 2^28 values may lose half of its digits).

    Args:
        x: ``[rows, values]``, float32 or float64, C-contiguous; left as it is.
        name: what errors call it.

    Raises:
        FpsimError: no values, or NaN or Inf.
    """
    if not x.size:
        raise FpsimError(f"{name} of shape {x.shape} has no values, so there is no format to search; skip it")
    largest = np.maximum(np.abs(x.min(axis=1)), np.abs(x.max(axis=1))).astype(np.float64)
    if not np.isfinite(largest).all():
        raise FpsimError(f"{name} holds NaN or Inf, so no format fits it; repair or skip it")
    exponent = np.frexp(largest)[1].astype(np.int64)
    rows, n = x.shape
    values = np.abs(x)
    if (np.abs(exponent) < np.finfo(x.dtype).maxexp - 4).all():
        values *= np.ldexp(x.dtype.type(1), -exponent)[:, None]
    else:  # the factor would leave the range of the type; ldexp is slow
        np.ldexp(values, -exponent[:, None], out=values)
    values.sort(axis=1)
    blocks = -(-n // kernels.STEP)
    heads, sums, energy = np.empty((rows, blocks), x.dtype), np.zeros((rows, blocks + 1)), np.empty(rows)
    run(kernels.running_sums, values, heads, sums, energy)
    return Magnitudes(
        values=values,
        largest=np.ldexp(largest, -exponent),
        exponent=exponent,
        heads=heads,
        counts=np.minimum(np.arange(blocks + 1, dtype=np.int64) * kernels.STEP, n)[None],
        sums=sums,
        energy=energy,
        within=np.zeros(rows),
        step=kernels.STEP,
    )
