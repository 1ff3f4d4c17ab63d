"""Learn one layer's rounding from the Gram matrix of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.gram import Gram
from fpsim.quant.rounding.grid import RoundingGrid, as_grid
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.parametrization import Parametrization, relative_steps
from fpsim.quant.rounding.polish import polish
from fpsim.quant.rounding.quadratic import Quadratic, mean_squared_error, quadratic
from fpsim.quant.rounding.regularizer import penalty_slope

#: on_step(finished iterations, all of them)
OnStep = Callable[[int, int], None]
#: How many points of the objective are kept.
POINTS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedRounding:
    """What became of a weight.

    Args:
        weight: rounded, in the type and shape of the weight, each value one of its two neighbours on the grid.
        loss_before, loss_after: mean squared error of the layer's output when rounded to nearest, and as learned.
        changed: the part of the weights that are not rounded to nearest.
        kept_rows: the part of the output channels that stay rounded to nearest because learning did not improve them.
        history: (iteration, output error of the soft weight relative to nearest) at up to 20 iterations.
    """

    weight: Tensor
    loss_before: float
    loss_after: float
    changed: float
    kept_rows: float
    history: tuple[tuple[int, float], ...]


def learn_rounding(
    weight: Tensor,
    quantizer: Quantizer | RoundingGrid,
    gram: Gram,
    options: RoundingOptions | None = None,
    on_step: OnStep | None = None,
) -> LearnedRounding:
    """Choose for each weight the neighbour on the grid with which the layer's output changes least.

    Adam learns soft positions on the exact quadratic form of the output's error, the regularizer makes them hard, and
    coordinate descent polishes them, and nearest as well. Each output channel takes the best of these and of nearest
    itself, so the output's error on these inputs is never above that of nearest. There is no randomness: the result
    repeats bit for bit on one machine and thread count; another count may change float32 sums in the last bits, and
    with them single choices that hardly matter.

    Args:
        weight: of a linear layer ``[outputs, inputs]`` or a convolution ``[outputs, inputs / groups, …]``.
        quantizer: its scales, or those that it fits to the weight, are frozen; or the grid itself, such as that of a
            split weight (:func:`fpsim.quant.rounding.grid.joined`).
        gram: of the layer's inputs.
        options: defaults to ``RoundingOptions()``.
        on_step: told about progress.

    Raises:
        FpsimError: the Gram matrix is another layer's, or the weight has no scale.

    Source: Chen et al. 2024, equations 10 to 14; Nagel et al. 2020.
    """
    options = options or RoundingOptions()
    groups, size = len(gram.hessian), gram.hessian.shape[-1]
    if weight.shape[0] % groups or weight[0].numel() != size:
        raise FpsimError(
            f"a weight of shape {list(weight.shape)} does not fit Gram matrices of {groups} groups of {size} inputs"
        )
    grid = as_grid(weight, quantizer)
    form = quadratic(gram, weight)
    layer = _Layer(as_matrices(weight.detach().double(), groups), grid, form)
    soft, history = _descend(layer, options, on_step)
    tried = [soft >= 0.5]
    if options.polish:
        tried = [polish(form, layer.error(up), up, layer.step, sweeps=options.polish) for up in (*tried, layer.nearest)]
    return _finished(layer, tried, weight, history)


class _Layer:
    """A layer's choices as matrices ``[groups, rows, K]`` in float64."""

    def __init__(self, exact: Tensor, grid: RoundingGrid, form: Quadratic) -> None:
        groups = len(exact)
        self.exact, self.grid, self.form = exact, grid, form
        self.lower, self.upper = (as_matrices(part.double(), groups) for part in (grid.lower, grid.upper))
        self.step = self.upper - self.lower
        self.nearest = as_matrices(grid.goes_up(), groups)

    def error(self, up: Tensor) -> Tensor:
        """The weight's error with the given choices."""
        return torch.where(up, self.upper, self.lower) - self.exact

    def loss(self, up: Tensor) -> float:
        return mean_squared_error(self.form, self.error(up))


def _finished(layer: _Layer, tried: list[Tensor], weight: Tensor, history: list[tuple[int, float]]) -> LearnedRounding:
    """The best of what was tried for each row, nearest first: it wins ties."""
    choices = torch.stack([layer.nearest, *tried])
    best = torch.stack([layer.form.rows(layer.error(up)) for up in choices]).argmin(dim=0)
    chosen = choices.gather(0, best[None, ..., None].expand(1, *layer.nearest.shape))[0]
    rounded = layer.grid.harden(chosen.reshape(weight.shape).to(layer.grid.lower.dtype))
    return LearnedRounding(
        weight=_as(rounded, weight),
        loss_before=layer.loss(layer.nearest),
        loss_after=layer.loss(chosen),
        changed=float((chosen != layer.nearest).double().mean()),
        kept_rows=float((best == 0).double().mean()),
        history=tuple(history),
    )


def _as(rounded: Tensor, like: Tensor) -> Tensor:
    """In the type of the weight; what it cannot hold becomes its nearest finite value, as in every quantizer."""
    largest = torch.finfo(like.dtype).max
    return rounded.clamp(-largest, largest).to(like.dtype)


def _descend(layer: _Layer, options: RoundingOptions, on_step: OnStep | None) -> tuple[Tensor, list[tuple[int, float]]]:
    """Adam on the soft positions, in float32; returns them and the course of the output's error."""
    work = layer.form.to(torch.float32)
    step, offset = layer.step.float(), (layer.lower - layer.exact).float()
    shape = Parametrization(options.kind, relative_steps(step) if options.scale_aware else None)
    fraction = as_matrices(layer.grid.fraction.float(), len(step))
    alpha = shape.start(fraction).requires_grad_()
    optimizer = torch.optim.Adam([alpha], lr=options.lr)
    nearest, constant = layer.loss(layer.nearest), float(layer.form.constant.sum())
    values = max(layer.form.count * step.shape[0] * step.shape[1], 1)
    error_factor, penalty_factor = _factors(options, nearest * values, values, step)
    history: list[tuple[int, float]] = []
    for iteration in range(options.iterations):
        with torch.no_grad():
            h, slope = shape.value_and_slope(alpha)
            error = torch.addcmul(offset, step, h)
            gradient = work.gradient(error)
            if iteration % max(1, options.iterations // POINTS) == 0:
                squared = float(work.variable(error, gradient)) + constant
                history.append((iteration, squared / max(nearest * values, 1e-300)))
            slope_of_h = 2 * error_factor * gradient * step
            weight, beta = options.schedule.at(iteration, options.iterations)
            if weight:
                slope_of_h += weight * penalty_factor * penalty_slope(h, beta)
            alpha.grad = slope_of_h * slope
        optimizer.step()
        if on_step is not None:
            on_step(iteration + 1, options.iterations)
    with torch.no_grad():
        return shape.value(alpha), history


def _factors(options: RoundingOptions, nearest: float, values: int, step: Tensor) -> tuple[float, float]:
    """What the squared error and the summed penalty are multiplied by; see :class:`RoundingOptions`."""
    if options.reduction == "relative":
        return (1 / nearest if nearest > 0 else 0.0), 1 / max(step.numel(), 1)
    if options.reduction == "mean":
        return 1 / values, 1.0
    return step.shape[0] * step.shape[1] / values, 1.0


__all__ = ["LearnedRounding", "OnStep", "learn_rounding"]
