"""Algorithm 1 of Chen et al. 2024: for each tensor the encoding and the bias of least squared error."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import arrays
from fpsim.errors import FpsimError
from fpsim.quant import granularity as views
from fpsim.quant.granularity import Granularity, PerBlock, PerTensor
from fpsim.quant.search.candidates import Encoding, encodings_of, fractions_of
from fpsim.quant.search.errors import single_errors, squared_errors, uncertainty
from fpsim.quant.search.magnitudes import Floats, Magnitudes, magnitudes
from fpsim.quant.search.result import SearchResult

#: Errors that differ by less than this part, or both are below the second of the energy, count as equal.
EQUAL, NOTHING = 1e-12, 1e-30
_PER_TENSOR = PerTensor()


def search_format(
    x: Any,
    bits: int = 8,
    *,
    encodings: Iterable[str] | None = None,
    granularity: Granularity = _PER_TENSOR,
    maxima: Sequence[float] | Floats | None = None,
    per_channel_encoding: bool = False,
    name: str = "the tensor",
) -> SearchResult:
    """Return the floating-point format of least squared error for a tensor.

    All candidates are compared exactly, from one sort: each encoding with each largest value c, whose bias is
    b = 2^e − log2(c) + log2(2 − 2^−m) − 1. Of equal errors the first wins: encodings in their order, then maxima.
    Per channel, one encoding serves the whole tensor, the one with the least error when each channel takes its best
    bias.

    Args:
        x: NumPy array or torch tensor of a floating-point type.
        bits: width of the format; 8 tries e2m5 e3m4 e4m3 e5m2, 4 tries e1m2 e2m1, others all eXmY of that width.
        encodings: names to try instead, of any width, such as ``("e4m3", "e5m2")``.
        granularity: ``PerTensor()`` or ``PerChannel(axis)``.
        maxima: candidates for c as fractions of the largest magnitude; default 111 from 0.1 to 1.2.
        per_channel_encoding: whether each channel may have an encoding of its own.
        name: what errors call the tensor.

    Returns:
        The winner and all candidates' errors. A tensor, or a channel, of zeros has every error 0: it gets the first
        encoding (its tensor's, per channel) with the paper's default bias, 2^(e−1).

    Raises:
        FpsimError: no values, NaN or Inf, blocks, or wrong bits, encodings or maxima.

    Source: Chen et al. 2024, Algorithm 1, equations 6 to 9; Kuzmin et al. 2022 for the maxima and channels.

    >>> import numpy as np
    >>> found = search_format(np.array([0.5, -1.0, 3.0, 2.0]), bits=4)
    >>> found.format.name, found.mse
    ('e2m1 bias=2', 0.0)
    """
    tried, fractions = encodings_of(bits, encodings), fractions_of(maxima)
    if isinstance(granularity, PerBlock):
        raise FpsimError("a search per block is not possible: a block's scale has a format of its own; use channel")
    groups = views.groups(arrays.working(x).data, granularity)
    data: NDArray[Any] = groups.cpu().numpy() if arrays.is_torch(groups) else groups
    return search_magnitudes(
        magnitudes(data, name), tried, fractions, granularity=granularity, per_channel_encoding=per_channel_encoding
    )


def search_magnitudes(
    m: Magnitudes,
    encodings: Sequence[Encoding],
    fractions: Floats,
    *,
    granularity: Granularity = _PER_TENSOR,
    per_channel_encoding: bool = False,
) -> SearchResult:
    """Return the search's result for magnitudes that are sorted already, or for those of a sketch."""
    # Normalized: the tensor times a power of two has the same errors to the last bit.
    tops = m.largest[:, None] * fractions
    scales = np.stack([np.exp2(-encoding.bias(np.where(tops > 0, tops, 1.0))) for encoding in encodings], axis=1)
    grids = [encoding.grid() for encoding in encodings]
    errors = squared_errors(m, grids, scales)
    close = _contenders(errors, uncertainty(m, tops)[:, None], weights(m), per_channel_encoding)
    for place, grid in enumerate(grids):
        rows, columns = np.nonzero(close[:, place])
        if rows.size:
            errors[rows, place, columns] = single_errors(m, grid, rows, scales[rows, place, columns])
    winners, best = _choice(errors, m, per_channel_encoding)
    top = tops[np.arange(len(best)), best]
    return SearchResult(
        encodings=tuple(encodings),
        granularity=granularity,
        winners=winners,
        index=winners * len(fractions) + best,
        bias=_biases(encodings, winners, top, m.exponent),
        maximum=np.ldexp(top, m.exponent),
        normalized=errors,
        magnitudes=(m.energy, m.exponent, m.count),
    )


def weights(m: Magnitudes) -> Floats:
    """What a row's normalized squares count in the units of the row with the largest values."""
    powers = np.where(m.largest > 0, m.exponent, np.iinfo(np.int64).min // 4)
    found: Floats = np.ldexp(1.0, np.maximum(2 * (powers - powers.max()), -4000))
    return found


def _contenders(errors: Floats, doubt: Floats, weight: Floats, each_row: bool) -> NDArray[np.bool_]:
    """Candidates that may be the best of their encoding, where the encoding may win: their errors must be exact."""
    low, high = np.maximum(errors - doubt, 0.0), (errors + doubt).min(axis=2)
    least = low.min(axis=2)
    if each_row:
        hopeful = least <= high.min(axis=1, keepdims=True)
    else:
        hopeful = (weight @ least <= (weight @ high).min())[None]
    found: NDArray[np.bool_] = (low <= high[:, :, None]) & hopeful[:, :, None]
    return found


def _choice(errors: Floats, m: Magnitudes, each_row: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The winning encoding and the winning maximum of each row."""
    least, weight = errors.min(axis=2), weights(m)
    if each_row:
        winners = _first(least, m.energy)
    else:
        one = _first((weight @ least)[None], np.atleast_1d(weight @ m.energy))
        winners = np.repeat(one, len(errors))
    return winners, _first(errors[np.arange(len(errors)), winners], m.energy)


def _first(errors: Floats, energy: Floats) -> NDArray[np.int64]:
    """The first column that no later one improves on, of each row."""
    limit = errors.min(axis=1) * (1 + EQUAL) + NOTHING * energy
    found: NDArray[np.int64] = np.argmax(errors <= limit[:, None], axis=1)
    return found


def _biases(
    encodings: Sequence[Encoding], winners: NDArray[np.int64], tops: Floats, exponent: NDArray[np.int64]
) -> Floats:
    """The bias of each row; the default one where there is nothing but zeros."""
    found = np.array([float(encodings[place].default.bias) for place in winners])
    for place, encoding in enumerate(encodings):
        mine = (winners == place) & (tops > 0)
        found[mine] = encoding.bias(tops[mine]) - exponent[mine]
    return found
