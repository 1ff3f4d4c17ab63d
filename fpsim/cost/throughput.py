"""The batch of most images a second."""

from __future__ import annotations

from collections.abc import Callable

from fpsim.cost.result import Estimate

#: The largest batch that is tried: beyond it, time grows with the batch.
_MOST = 256


def best_batch(at: Callable[[int], Estimate]) -> Estimate:
    """Return the estimate of most images a second among the powers of two, and the largest batch, that fit.

    Args:
        at: the estimate of a batch of so many images.

    Returns:
        That of the smallest batch within 1 % of the best; that of one image if not even one fits.
    """
    one = at(1)
    sizes = [size for size in (2**power for power in range(1, 9)) if size <= min(one.largest, _MOST)]
    tried = [one, *(at(size) for size in sizes)]
    if one.largest < _MOST and one.largest > tried[-1].images:
        tried.append(at(one.largest))
    most = max(item.images_per_s for item in tried)
    return next(item for item in tried if item.images_per_s >= 0.99 * most)
