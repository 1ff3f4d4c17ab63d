"""Integer quantizers whose step size is a parameter: one for all timesteps, or one for each bin of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fpsim.number import IntFormat
from fpsim.quant.scales import Scales

#: A step size is kept above this part of its start: Adam's steps do not know how small it is.
SMALLEST = 0.01


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

    def back(self) -> None:
        """Return to the step size of the start."""
        with torch.no_grad():
            self.step.fill_(self.start)

    def scales(self) -> Scales:
        """Return the step size as it is now."""
        return Scales(self.step.detach().cpu().reshape(1).numpy().copy(), self.zero_point)


class BinnedStep:
    """Quantizes each sample with the step size of its bin; samples of one batch may lie in different bins.

    Args:
        steps: one a bin.
        current: returns for a tensor the number of the bin of all its samples, or one number a sample.
    """

    def __init__(self, steps: Sequence[LearnedStep], current: Callable[[Tensor], Sequence[int]]) -> None:
        self.steps, self.current = tuple(steps), current

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``x`` fake-quantized, differentiable in ``x`` and in the step sizes of the bins that it has."""
        numbers = self.current(x)
        if len(set(numbers)) == 1:
            return self.steps[numbers[0]](x)
        present = sorted(set(numbers))  # the others get no gradient, so that Adam leaves them alone
        places = torch.tensor([present.index(number) for number in numbers])
        shape = (-1, *(1,) * (x.ndim - 1))

        def each(values: Tensor) -> Tensor:
            return values[places].to(x.device).reshape(shape)

        steps = [self.steps[number] for number in present]
        low, high = torch.tensor([step.low for step in steps]), torch.tensor([step.high for step in steps])
        step = torch.stack([step.step for step in steps])
        rounded: Tensor = _FakeQuantize.apply(x, each(step), each(low), each(high))  # type: ignore[no-untyped-call]
        return rounded.to(x.dtype)


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, low: Any, high: Any) -> Tensor:
        t = x / step
        rounded = t.round()
        clipped = rounded.clamp(low, high)
        inside = rounded == clipped
        ctx.shape = step.shape
        ctx.save_for_backward(inside, torch.where(inside, rounded - t, clipped))
        return clipped * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        inside, slope = ctx.saved_tensors
        return gradients[0] * inside, (gradients[0] * slope).sum_to_size(ctx.shape), None, None
