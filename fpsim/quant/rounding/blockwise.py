"""Learn the rounding of several layers together, so that the output of the block that they form stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fpsim.errors import FpsimError
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.rounding.grid import RoundingGrid, as_grid
from fpsim.quant.rounding.learn import LearnedRounding, OnStep
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.parametrization import Parametrization, relative_steps
from fpsim.quant.rounding.regularizer import penalty

#: How many points of the objective are kept.
POINTS = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockCall:
    """One call of a block on one sample, and what it must answer.

    Args:
        args, kwargs: as the block takes them; tensors have an axis of one sample, the first, or are shared by all.
        shared: names (or places, as texts) of the tensors that all samples share.
        output: the block's output in full precision.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor
    shared: frozenset[str] = frozenset()


def learn_block(
    block: nn.Module,
    quantizers: Mapping[str, Quantizer | RoundingGrid],
    calls: Sequence[BlockCall],
    options: RoundingOptions | None = None,
    on_step: OnStep | None = None,
) -> dict[str, LearnedRounding]:
    """Learn the rounding of a block's layers by the mean squared error of the block's output.

    Each iteration draws ``options.batch_size`` calls, runs the block with soft weights and follows the gradient. After
    hardening, the whole block keeps rounding to nearest unless its output error on all calls became smaller.

    Args:
        block: any module whose output is a tensor, or a tuple with one first; its parameters stay as they are.
        quantizers: of the layers' weights, or their grids, by names inside the block (``""`` is the block itself).
        calls: the calibration, one sample each.
        options: defaults to ``RoundingOptions()``; ``polish`` does not apply.
        on_step: told about progress.

    Returns:
        For each layer what became of it; both losses are those of the block's output.

    Raises:
        FpsimError: no call, no such layer, or a weight that has no scale.

    Source: Q-Diffusion, section 4, and Chen et al. 2024, section V-B, in the mini-batches of VI-A.
    """
    options = options or RoundingOptions()
    if not calls:
        raise FpsimError("a block learns from its calls in calibration; give at least one")
    soft = _Soft(block, quantizers, options)
    nearest = {name: grid.nearest for name, grid in soft.grids.items()}
    before = block_error(block, soft.named(nearest), calls, options.batch_size)
    history = _descend(block, soft, calls, before, options, on_step)
    hard = soft.hardened()
    after = block_error(block, soft.named(hard), calls, options.batch_size)
    kept = not after < before
    return {
        name: LearnedRounding(
            weight=(nearest if kept else hard)[name].to(soft.dtypes[name]),
            loss_before=before,
            loss_after=before if kept else after,
            changed=0.0 if kept else float((hard[name] != nearest[name]).double().mean()),
            kept_rows=float(kept),
            history=tuple(history),
        )
        for name in soft.grids
    }


def block_error(block: nn.Module, weights: Mapping[str, Tensor], calls: Sequence[BlockCall], size: int) -> float:
    """Return the mean squared error of a block's output with given weights over all calls, in float64.

    Args:
        block: the module.
        weights: by the parameters' names inside the block, such as ``conv1.weight``.
        calls: with the outputs in full precision.
        size: calls that run together.
    """
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(calls), size):
            answer, wanted = _run(block, weights, calls[start : start + size])
            total += float((answer.double() - wanted.double()).square().sum())
            count += wanted.numel()
    return total / max(count, 1)


class _Soft:
    """The grids and parameters of a block's layers."""

    def __init__(self, block: nn.Module, quantizers: Mapping[str, Any], options: RoundingOptions) -> None:
        modules: dict[str, Any] = dict(block.named_modules())
        missing = next((name for name in quantizers if name not in modules), None)
        if missing is not None or not quantizers:
            raise FpsimError(f"the block has no layer {missing!r} to learn; name layers inside it")
        weights = {name: modules[name].weight.detach() for name in quantizers}
        self.dtypes = {name: weight.dtype for name, weight in weights.items()}
        self.grids: dict[str, RoundingGrid] = {
            name: as_grid(weights[name], quantizer) for name, quantizer in quantizers.items()
        }
        self.shapes = {
            name: Parametrization(options.kind, relative_steps(grid.step) if options.scale_aware else None)
            for name, grid in self.grids.items()
        }
        self.alphas = {
            name: self.shapes[name].start(grid.fraction).requires_grad_() for name, grid in self.grids.items()
        }
        self.size = sum(alpha.numel() for alpha in self.alphas.values())

    def positions(self) -> dict[str, Tensor]:
        return {name: self.shapes[name].value(alpha) for name, alpha in self.alphas.items()}

    def hardened(self) -> dict[str, Tensor]:
        with torch.no_grad():
            return {name: self.grids[name].harden(h) for name, h in self.positions().items()}

    def softened(self, positions: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: self.grids[name].soft(h) for name, h in positions.items()}

    def named(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights by the names of the block's parameters."""
        return {f"{name}.weight".lstrip("."): value.to(self.dtypes[name]) for name, value in weights.items()}


def _descend(
    block: nn.Module,
    soft: _Soft,
    calls: Sequence[BlockCall],
    nearest: float,
    options: RoundingOptions,
    on_step: Callable[[int, int], None] | None,
) -> list[tuple[int, float]]:
    optimizer = torch.optim.Adam(list(soft.alphas.values()), lr=options.lr)
    source, history = torch.Generator().manual_seed(options.seed), []
    for iteration in range(options.iterations):
        drawn = torch.randperm(len(calls), generator=source)[: options.batch_size].tolist()
        with torch.enable_grad():
            positions = soft.positions()
            answer, wanted = _run(block, soft.named(soft.softened(positions)), [calls[i] for i in drawn])
            error = (answer.float() - wanted.float()).square().mean()
            weight, beta = options.schedule.at(iteration, options.iterations)
            pressure = sum(penalty(h, beta) for h in positions.values()) if weight else 0.0
            error_factor, penalty_factor = _factors(options, nearest, wanted, soft.size)
            objective = error * error_factor + weight * penalty_factor * pressure
        # A layer may be without effect on what is compared, such as one of a second result.
        alphas = list(soft.alphas.values())
        gradients = torch.autograd.grad(objective, alphas, allow_unused=True, materialize_grads=True)
        for alpha, gradient in zip(soft.alphas.values(), gradients, strict=True):
            alpha.grad = gradient
        optimizer.step()
        if iteration % max(1, options.iterations // POINTS) == 0:
            history.append((iteration, float(error.detach()) / max(nearest, 1e-300)))
        if on_step is not None:
            on_step(iteration + 1, options.iterations)
    return history


def _factors(options: RoundingOptions, nearest: float, output: Tensor, size: int) -> tuple[float, float]:
    """What the mean squared error and the summed penalty are multiplied by; see :class:`RoundingOptions`."""
    if options.reduction == "relative":
        return (1 / nearest if nearest > 0 else 0.0), 1 / size
    channels = output.shape[1] if output.ndim == 4 else output.shape[-1]
    return (1.0 if options.reduction == "mean" else float(channels)), 1.0


def _run(block: nn.Module, weights: Mapping[str, Tensor], calls: Sequence[BlockCall]) -> tuple[Tensor, Tensor]:
    """The block's answer on several calls as one batch, and the wanted one."""
    first = calls[0]
    args = tuple(_batched([call.args[i] for call in calls], str(i) in first.shared) for i in range(len(first.args)))
    kwargs = {key: _batched([call.kwargs[key] for call in calls], key in first.shared) for key in first.kwargs}
    answer = functional_call(block, dict(weights), args, kwargs)
    if isinstance(answer, tuple):
        answer = answer[0]
    return answer, torch.cat([call.output for call in calls])


def _batched(values: list[Any], shared: bool) -> Any:
    if shared or not isinstance(values[0], Tensor):
        return values[0]
    return torch.cat(values)
