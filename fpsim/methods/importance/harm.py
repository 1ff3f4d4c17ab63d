"""The result of an importance measure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Harm:
    """What each format is predicted to harm; an allocation minimizes the sum.

    Args:
        unit: of the numbers, in words.
        weights: float64 ``[layers, weight formats]``.
        acts: float64 ``[layers, activation formats, bins]``, each bin by its share of the sampler's calls, so that
            the sum over bins is a mean over the sampling run; None where activations are not chosen.
        ties: what decides between formats of the same harm, like ``weights``; None for a measure that sees every
            difference.
        ties_acts: like ``acts``.
        importance: float64 ``[layers]``, if the measure is one number a layer.
        notes: what a reader should know.
    """

    unit: str
    weights: Floats
    acts: Floats | None
    ties: Floats | None = None
    ties_acts: Floats | None = None
    importance: Floats | None = None
    notes: tuple[str, ...] = field(default=())


def noise_to_signal(signal: float, noise: float) -> float:
    """Return noise / signal; 0 where there is neither, inf for noise without a signal.

    >>> noise_to_signal(4.0, 1.0), noise_to_signal(0.0, 0.0), noise_to_signal(0.0, 1.0)
    (0.25, 0.0, inf)
    """
    if not noise:
        return 0.0
    return noise / signal if signal else float("inf")
