"""The two neighbours that each weight has on its quantizer's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fpsim.codec import arrays
from fpsim.codec.api import quantize
from fpsim.number import ElementFormat, IntFormat
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.frozen_scales import frozen_scales


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundingGrid:
    """A weight between two neighbouring values that its quantizer can hold; all tensors have the weight's shape.

    Args:
        lower, upper: the neighbours, bit for bit values of the grid, float32 or float64; ``lower < upper``.
        fraction: where the clipped weight lies between them, 0 to 1.
        nearest: what rounding to nearest makes of the weight.
    """

    lower: Tensor
    upper: Tensor
    fraction: Tensor
    nearest: Tensor

    @property
    def step(self) -> Tensor:
        """Gap between the neighbours: ``s_i`` of the weight's binade, which learning never changes."""
        return self.upper - self.lower

    @property
    def clipped(self) -> Tensor:
        """The weight clipped to the range of the format, W' of equation 6."""
        return self.soft(self.fraction)

    def soft(self, h: Tensor) -> Tensor:
        """Return ``lower + step · h``: equation 12 with the clipped full-precision weight inside the floor.

        Args:
            h: 0 (the lower neighbour) to 1 (the upper one), of the weight's shape.
        """
        return torch.lerp(self.lower, self.upper, h)

    def harden(self, h: Tensor) -> Tensor:
        """Return the upper neighbour where ``h >= 0.5`` and the lower one elsewhere: always values of the grid."""
        return torch.where(h >= 0.5, self.upper, self.lower)

    def goes_up(self) -> Tensor:
        """Where rounding to nearest takes the upper neighbour, as booleans."""
        return self.nearest == self.upper


def rounding_grid(weight: Tensor, quantizer: Quantizer) -> RoundingGrid:
    """Return the neighbours of a weight on a quantizer's grid.

    Both are the values ``s · g`` that the quantizer itself would give, g being the quotient ``weight / s`` rounded
    toward −∞ and toward +∞. A weight that is on the grid may go up one value, as in equation 12; one at or beyond the
    upper end of the range may go down one, so that both ends are treated alike (the printed clamp leaves it no
    choice). At a negative power of two the neighbour is the adjacent value, where the printed step of the larger
    binade would skip one.

    Args:
        weight: float16, bfloat16, float32 or float64, any shape, finite.
        quantizer: its scales, or without them those that it fits to the weight; scales of blocks are those of the
            unrounded weight.

    Raises:
        FpsimError: the weight has no scale.

    Source: equations 6 to 9 and 12 of Chen et al. 2024 (equation 12 as printed has the quantised weight inside the
    floor; it is the clipped one).

    >>> g = rounding_grid(torch.tensor([0.7, -2.2, 9.0]), Quantizer("e2m1", scale="none"))
    >>> g.lower.tolist(), g.upper.tolist(), g.nearest.tolist()
    ([0.5, -3.0, 4.0], [1.0, -2.0, 6.0], [0.5, -2.0, 6.0])
    """
    work = arrays.working(weight.detach()).data
    fmt, scale, zero_point = frozen_scales(work, quantizer)
    quotient = work / scale
    low, high = _neighbours(quotient, fmt, zero_point)
    fraction = ((quotient - low) / (high - low)).clamp_(0, 1)
    lower, upper = scale * low, scale * high
    rounded: Tensor = quantizer(work)
    return RoundingGrid(lower=lower, upper=upper, fraction=fraction, nearest=rounded)


def as_grid(weight: Tensor, how: Quantizer | RoundingGrid) -> RoundingGrid:
    """Return a grid as it is, or the one that a quantizer has for a weight."""
    return how if isinstance(how, RoundingGrid) else rounding_grid(weight, how)


def joined(grids: Sequence[RoundingGrid]) -> RoundingGrid:
    """Return the grid of a weight whose parts along the input channels (axis 1) have quantizers of their own."""
    return RoundingGrid(
        **{part.name: torch.cat([getattr(grid, part.name) for grid in grids], dim=1) for part in fields(RoundingGrid)}
    )


def on_grid(values: Tensor, weight: Tensor, quantizer: Quantizer) -> bool:
    """Return whether values are all on the grid that a quantizer has for a weight, bit for bit but for signs of zero.

    Args:
        values: of the weight's shape and dtype.
        weight: what the quantizer's scales are fitted to, unless it has fixed ones.
        quantizer: as for :func:`rounding_grid`.
    """
    work = arrays.working(values.detach()).data
    fmt, scale, zero_point = frozen_scales(arrays.working(weight.detach()).data, quantizer)
    t = work / scale
    down, up = (_directed(t, fmt, zero_point, side) for side in ("toward-negative", "toward-positive"))
    # The quotient of s · g and s is g to within an ulp, so g is one of the two neighbours of the quotient.
    return bool(((_as(scale * down, values) == values) | (_as(scale * up, values) == values)).all())


def _as(x: Tensor, like: Tensor) -> Tensor:
    """In the type of another tensor; what it cannot hold becomes its nearest finite value, as in every quantizer."""
    largest = torch.finfo(like.dtype).max
    return x.clamp(-largest, largest).to(like.dtype)


def _neighbours(t: Tensor, fmt: ElementFormat, zero_point: Tensor | None) -> tuple[Tensor, Tensor]:
    """The grid's values next to each quotient: lower < upper, both on the grid."""
    down, up = _directed(t, fmt, zero_point, "toward-negative"), _directed(t, fmt, zero_point, "toward-positive")
    above = _directed(torch.nextafter(down, _like(down, np.inf)), fmt, zero_point, "toward-positive")
    up = torch.where(up == down, above, up)
    below = _directed(torch.nextafter(down, _like(down, -np.inf)), fmt, zero_point, "toward-negative")
    at_top = up == down  # nothing is above: the choice is between the end of the range and what lies below it
    return torch.where(at_top, below, down), up


def _directed(t: Tensor, fmt: ElementFormat, zero_point: Tensor | None, rounding: str) -> Tensor:
    if isinstance(fmt, IntFormat):
        shift: Any = 0 if zero_point is None else zero_point
        whole = t.floor() if rounding == "toward-negative" else t.ceil()
        result: Tensor = whole.maximum(_like(t, fmt.lo) - shift).minimum(_like(t, fmt.hi) - shift) + 0.0
        return result
    rounded: Tensor = quantize(t, fmt.grid, rounding=rounding)
    return rounded


def _like(t: Tensor, value: float) -> Tensor:
    return t.new_tensor(float(value))
