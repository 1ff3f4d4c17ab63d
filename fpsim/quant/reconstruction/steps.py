"""Learned step sizes of activations, with Q-Diffusion's straight-through gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.quant.asymmetric import EXPONENT
from fpsim.quant.reconstruction.batch import UnitData, draw, error_sum, mode, run
from fpsim.quant.reconstruction.learned_step import SMALLEST, LearnedStep
from fpsim.quant.reconstruction.rounding import MEASURED, OnStep

__all__ = ["SMALLEST", "LearnedStep", "StepOptions", "learn_steps"]

Begin = Callable[[UnitData], None]


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
        keep_start: whether the step sizes of the start stay unless learning lowered the error on all samples that they
            quantize.

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


def learn_steps(
    unit: nn.Module,
    weights: Mapping[str, Tensor],
    steps: Sequence[LearnedStep],
    data: UnitData,
    options: StepOptions | None = None,
    on_step: OnStep | None = None,
    *,
    own: Mapping[LearnedStep, Tensor] | None = None,
    begin: Begin | None = None,
) -> tuple[float, float]:
    """Learn the step sizes of a unit together; its weights stay as they are.

    Args:
        unit: a module whose layers compute with ``steps``.
        weights: its rounded weights, by the parameters' names inside it.
        steps: changed in place.
        data: inputs and outputs in full precision.
        options: defaults to ``StepOptions()``.
        on_step: told about progress.
        own: indices of the samples that a step size quantizes, where these are not all: those of a timestep bin.
        begin: told the samples before the unit runs on them.

    Returns:
        The error (``|y − y_fp|^exponent``, summed over channels) over all samples before and after.

    Source: Q-Diffusion's released code (section A6 of the project's notes); ``keep_start`` is ours.
    """
    options = options or StepOptions()
    errors = _Errors(unit, weights, data, options, begin or (lambda _part: None))
    before = errors.measure()
    if not steps or not options.iterations:
        return before.total, before.total
    with mode(unit, training=options.train_mode):
        _descend(errors, steps, on_step)
    after = errors.measure()
    return before.total, _kept(errors, steps, own or {}, before, after) if options.keep_start else after.total


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """The error over all samples, and that of each."""

    total: float
    each: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Errors:
    """Runs a unit on samples and compares with what it should answer."""

    unit: nn.Module
    weights: Mapping[str, Tensor]
    data: UnitData
    options: StepOptions
    begin: Begin

    def answer(self, part: UnitData) -> Tensor:
        self.begin(part)
        return run(self.unit, self.weights, part)

    def measure(self) -> _Measured:
        total, each, exponent = 0.0, [], self.options.exponent
        with torch.no_grad():
            for start in range(0, len(self.data), MEASURED):
                part = self.data.rows(torch.arange(start, min(start + MEASURED, len(self.data))))
                answer = self.answer(part)
                total += float(error_sum(answer, part.output, exponent)) * len(part)
                distance = (answer.float() - part.output.float()).abs().pow(exponent)
                each.append(distance.flatten(1).sum(1, dtype=torch.float64).cpu())
        return _Measured(total / max(1, len(self.data)), torch.cat(each) if each else torch.empty(0))


def _kept(
    errors: _Errors,
    steps: Sequence[LearnedStep],
    own: Mapping[LearnedStep, Tensor],
    before: _Measured,
    after: _Measured,
) -> float:
    """Return step sizes to their start that did not lower the error on their samples; the error then."""

    def better(step: LearnedStep) -> bool:
        mine = own.get(step)
        if mine is None:
            return after.total < before.total
        return bool(after.each[mine].sum() < before.each[mine].sum())

    worse = [step for step in steps if not better(step)]
    for step in worse:
        step.back()
    total = errors.measure().total if 0 < len(worse) < len(steps) else after.total
    if len(worse) < len(steps) and total < before.total:
        return total
    for step in steps:
        step.back()
    return before.total


def _descend(errors: _Errors, steps: Sequence[LearnedStep], on_step: OnStep | None) -> None:
    parameters, options, data = [step.step for step in steps], errors.options, errors.data
    optimizer, source = torch.optim.Adam(parameters, lr=options.lr), torch.Generator().manual_seed(options.seed)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.iterations, eta_min=0.0)
    for iteration in range(options.iterations):
        part = data.rows(draw(len(data), options.batch_size, source))
        with torch.enable_grad():
            objective = error_sum(errors.answer(part), part.output, options.exponent)
        gradients = torch.autograd.grad(objective, parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        cosine.step()
        for step in steps:
            step.keep_positive()
        if on_step is not None:
            on_step(iteration + 1, options.iterations)
