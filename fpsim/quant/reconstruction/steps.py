"""Learned step sizes of activations, with Q-Diffusion's straight-through gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.number import IntFormat
from fpsim.quant.asymmetric import EXPONENT
from fpsim.quant.reconstruction.batch import UnitData, draw, error_sum, mode, run
from fpsim.quant.reconstruction.rounding import MEASURED, OnStep
from fpsim.quant.scales import Scales

#: A step size is kept above this part of its start: Adam's steps do not know how small it is.
SMALLEST = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOptions:
    """Settings of the activation phase; the defaults suit a small model on a CPU, :meth:`paper` has the published ones.

    Args:
        iterations: steps of Adam a unit; 0 keeps the step sizes of the start.
        batch_size: samples of a step.
        lr: learning rate, which falls to 0 along a cosine.
        exponent: of the error.
        seed: decides which samples are drawn.
        train_mode: whether the unit learns in training mode, so that its dropout is active.
        keep_start: whether the step sizes of the start stay unless learning lowered the error on all samples.

    Raises:
        FpsimError: a value that makes no sense.
    """

    iterations: int = 100
    batch_size: int = 16
    lr: float = 4e-4
    exponent: float = EXPONENT
    seed: int = 0
    train_mode: bool = False
    keep_start: bool = True

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.batch_size < 1 or not 0 < self.lr < float("inf") or not self.exponent >= 1:
            raise FpsimError(
                f"step sizes learn in {self.iterations} iterations of {self.batch_size} samples with rate {self.lr}; "
                "give 0 or more iterations, at least 1 sample, a positive rate and an exponent of at least 1"
            )

    @classmethod
    def paper(cls) -> StepOptions:
        """Return Q-Diffusion's settings: 5,000 iterations of 32 samples."""
        return cls(iterations=5000, batch_size=32)


class LearnedStep:
    """A per-tensor integer quantizer whose step size d is a parameter; its zero point is fixed.

    x̂ = d · (clamp(round(x / d) + z, lo, hi) − z). The gradient with respect to x is 1 inside the range and 0 outside;
    with respect to d it is round(x / d) − x / d inside, lo − z below and hi − z above, not rescaled.

    Args:
        fmt: an integer format.
        scales: of one group; the start.
    """

    def __init__(self, fmt: IntFormat, scales: Scales) -> None:
        zero_point = 0.0 if scales.zero_point is None else float(scales.zero_point[0])
        self.low, self.high = float(fmt.lo) - zero_point, float(fmt.hi) - zero_point
        self.start, self.zero_point = float(scales.scale[0]), scales.zero_point
        self.step = torch.tensor(self.start, requires_grad=True)

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``x`` fake-quantized, differentiable in ``x`` and in the step size."""
        rounded: Tensor = _FakeQuantize.apply(x, self.step.to(x.device), self.low, self.high)  # type: ignore[no-untyped-call]
        return rounded

    def keep_positive(self) -> None:
        """Move the step size back where a step of the optimizer took it to 0 or below."""
        with torch.no_grad():
            self.step.clamp_(min=self.start * SMALLEST)

    def scales(self) -> Scales:
        """Return the step size as it is now."""
        return Scales(self.step.detach().cpu().reshape(1).numpy().copy(), self.zero_point)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: float, high: float) -> Tensor:
        t = x / step
        rounded = t.round()
        clipped = rounded.clamp(low, high)
        inside = rounded == clipped
        ctx.save_for_backward(inside, torch.where(inside, rounded - t, clipped))
        return clipped * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inside, slope = ctx.saved_tensors
        return gradients[0] * inside, (gradients[0] * slope).sum(), None, None


def learn_steps(
    unit: nn.Module,
    weights: Mapping[str, Tensor],
    steps: Sequence[LearnedStep],
    data: UnitData,
    options: StepOptions | None = None,
    on_step: OnStep | None = None,
) -> tuple[float, float]:
    """Learn the step sizes of a unit together; its weights stay as they are.

    Args:
        unit: a module whose layers compute with ``steps``.
        weights: its rounded weights, by the parameters' names inside it.
        steps: changed in place.
        data: inputs and outputs in full precision.
        options: defaults to ``StepOptions()``.
        on_step: told about progress.

    Returns:
        The error (``|y − y_fp|^exponent``, summed over channels) over all samples before and after.

    Source: Q-Diffusion's released code (section A6 of the project's notes); ``keep_start`` is ours.
    """
    options = options or StepOptions()
    before = _error(unit, weights, data, options)
    if not steps or not options.iterations:
        return before, before
    with mode(unit, training=options.train_mode):
        _descend(unit, weights, steps, data, options, on_step)
    after = _error(unit, weights, data, options)
    if after < before or not options.keep_start:
        return before, after
    with torch.no_grad():
        for step in steps:
            step.step.fill_(step.start)
    return before, before


def _descend(
    unit: nn.Module,
    weights: Mapping[str, Tensor],
    steps: Sequence[LearnedStep],
    data: UnitData,
    options: StepOptions,
    on_step: OnStep | None,
) -> None:
    parameters = [step.step for step in steps]
    optimizer, source = torch.optim.Adam(parameters, lr=options.lr), torch.Generator().manual_seed(options.seed)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.iterations, eta_min=0.0)
    for iteration in range(options.iterations):
        part = data.rows(draw(len(data), options.batch_size, source))
        with torch.enable_grad():
            objective = error_sum(run(unit, weights, part), part.output, options.exponent)
        gradients = torch.autograd.grad(objective, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        cosine.step()
        for step in steps:
            step.keep_positive()
        if on_step is not None:
            on_step(iteration + 1, options.iterations)


def _error(unit: nn.Module, weights: Mapping[str, Tensor], data: UnitData, options: StepOptions) -> float:
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(data), MEASURED):
            part = data.rows(torch.arange(start, min(start + MEASURED, len(data))))
            total += float(error_sum(run(unit, weights, part), part.output, options.exponent)) * len(part)
    return total / max(1, len(data))
