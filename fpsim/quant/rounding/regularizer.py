"""What drives soft positions to 0 or 1: Σ (1 − |2h − 1|^β), with a weight and a β that may change on the way."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Weight and exponent of the regularizer over the iterations.

    Equation 14 of Chen et al. 2024 prints the constant exponent 20 and neither a weight nor a warm-up: ``Schedule(
    weight=1, beta_start=20, beta_end=20, warmup=0)``. AdaRound's is the default: no regularizer for the first 20 % of
    the iterations, then an exponent that falls linearly from 20 to 2.

    Args:
        weight: λ, 0 or more.
        beta_start, beta_end: the exponent after the warm-up and at the end, at least 1.
        warmup: the part of all iterations without the regularizer, 0 to 1.

    Raises:
        FpsimError: anything else.

    >>> Schedule(weight=0.1).at(0, 100), Schedule(weight=0.1).at(60, 100)
    ((0.0, 20.0), (0.1, 11.0))
    """

    weight: float
    beta_start: float = 20.0
    beta_end: float = 2.0
    warmup: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise FpsimError(f"the regularizer's weight is {self.weight}; give a finite number, 0 or more")
        for beta in (self.beta_start, self.beta_end):
            if not 1 <= beta <= 1000:
                raise FpsimError(
                    f"the regularizer's exponent is {beta}; 1 to 1000 are possible (usual: 20 falling to 2)"
                )
        if not 0 <= self.warmup <= 1:
            raise FpsimError(f"the regularizer's warm-up is {self.warmup}; give a part of the iterations, 0 to 1")

    def at(self, iteration: int, total: int) -> tuple[float, float]:
        """Return λ and β at an iteration, counted from 0."""
        begin = self.warmup * total
        if iteration < begin:
            return 0.0, float(self.beta_start)
        progress = (iteration - begin) / max(total - begin, 1)
        return self.weight, self.beta_start + (self.beta_end - self.beta_start) * progress


def penalty(h: Tensor, beta: float) -> Tensor:
    """Return ``Σ (1 − |2h − 1|^β)``, differentiable: 0 where every h is 0 or 1, at most the number of weights.

    >>> import torch
    >>> penalty(torch.tensor([0.0, 0.5, 1.0]), 20).item()
    1.0
    """
    return (1 - (2 * h - 1).abs().pow(beta)).sum()


def penalty_slope(h: Tensor, beta: float) -> Tensor:
    """Return the gradient of :func:`penalty` with respect to ``h``."""
    centred = 2 * h - 1
    return -2 * beta * centred.abs().pow(beta - 1) * centred.sign()
