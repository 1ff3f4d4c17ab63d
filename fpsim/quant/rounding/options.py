"""How rounding is learned: the settings of one run of the optimizer."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fpsim.errors import FpsimError
from fpsim.quant.rounding.regularizer import Schedule

REDUCTIONS = ("relative", "mean", "sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundingOptions:
    """Settings of learned rounding; the defaults are for the reduction ``relative``.

    Args:
        iterations: steps of Adam.
        lr: its learning rate.
        schedule: weight and exponent of the regularizer.
        kind: ``rectified`` or ``sigmoid``; see :class:`fpsim.quant.rounding.parametrization.Parametrization`.
        scale_aware: whether parameters are divided by their weight's relative step.
        reduction: what the objective is. ``relative``: the error divided by that of rounding to nearest, plus λ times
            the mean penalty: λ means the same for every layer. ``mean``: equations 11 and 13 of Chen et al. 2024, the
            mean squared error of the output's values plus λ times the summed penalty. ``sum``: Q-Diffusion's, the
            squared error summed over output channels, its mean over samples and positions, plus λ times the sum.
        polish: sweeps of coordinate descent after the rounding is final; 0 is none.
        batch_size: samples of a step where a block is learned by its outputs.
        seed: decides which samples these are.

    Raises:
        FpsimError: a value that makes no sense.
    """

    iterations: int = 1000
    lr: float = 3e-2
    schedule: Schedule = field(default_factory=lambda: Schedule(weight=3.0))
    kind: str = "rectified"
    scale_aware: bool = False
    reduction: str = "relative"
    polish: int = 20
    batch_size: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 0:
            raise FpsimError(f"{self.iterations} iterations of learned rounding; give 0 or more (usual: 1000 to 20000)")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise FpsimError(f"the learning rate of the rounding is {self.lr}; give a positive number (usual: 0.01)")
        if self.reduction not in REDUCTIONS:
            raise FpsimError(f"reduction {self.reduction!r} is not one of {', '.join(REDUCTIONS)}")
        if self.polish < 0 or self.batch_size < 1:
            raise FpsimError("polish is 0 or more sweeps, and a batch has at least 1 sample")
