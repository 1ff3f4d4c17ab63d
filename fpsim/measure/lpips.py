"""LPIPS from feature maps and heads: the perceptual distance, apart from the network that makes the maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError

_EPSILON = 1e-10


def lpips_distance(
    a: Sequence[NDArray[Any]], b: Sequence[NDArray[Any]], heads: Sequence[NDArray[Any]]
) -> NDArray[np.float64]:
    """The sum over layers of the weighted squared differences of unit-length features, averaged over positions.

    Args:
        a: feature maps of the first images, one [N, C, H, W] a layer; C, H and W differ between layers.
        b: the maps of the second images, the same shapes.
        heads: weights of a layer's channels, [C] each.

    Returns:
        float64 [N], 0 where the maps are equal.

    Raises:
        FpsimError: the shapes do not fit, or maps hold NaN or infinities.

    Source:
        R. Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018, equation 1
        (with the heads inside as weights of the squares, as the released code has it).
    """
    if not len(a) == len(b) == len(heads) or not heads:
        raise FpsimError(
            f"{len(a)} and {len(b)} maps with {len(heads)} heads were given: LPIPS needs one of each a layer"
        )
    total = np.zeros(len(a[0]))
    for x, y, head in zip(a, b, heads, strict=True):
        if x.ndim != 4 or x.shape != y.shape or np.shape(head) != (x.shape[1],):
            raise FpsimError(
                f"maps of {x.shape} and {y.shape} with a head of {np.shape(head)} were given: "
                "LPIPS needs [N, C, H, W] twice and [C]"
            )
        squares = np.square(_unit(x) - _unit(y))
        total += np.einsum("nchw,c->n", squares, np.asarray(head, dtype=np.float64)) / (x.shape[2] * x.shape[3])
    if not np.isfinite(total).all():
        raise FpsimError(f"the maps of image {int(np.argmin(np.isfinite(total)))} hold NaN or infinities")
    return total


def _unit(maps: NDArray[Any]) -> NDArray[np.float64]:
    wide = np.asarray(maps, dtype=np.float64)
    return np.asarray(wide / (np.sqrt(np.sum(wide * wide, axis=1, keepdims=True)) + _EPSILON), dtype=np.float64)
