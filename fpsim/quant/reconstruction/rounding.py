"""Learn the rounding of a unit's weights from the unit's output, with one or two grids a weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.quant.reconstruction.batch import UnitData, draw, error_sum, mode, run
from fpsim.quant.rounding.grid import RoundingGrid
from fpsim.quant.rounding.parametrization import Parametrization
from fpsim.quant.rounding.regularizer import Schedule, penalty

OnStep = Callable[[int, int], None]
#: Samples that run together where an error is only measured.
MEASURED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightOptions:
    """Settings of the weight phase; the defaults suit a small model on a CPU, :meth:`paper` has the published ones.

    Args:
        iterations: steps of Adam a unit.
        batch_size: samples of a step.
        lr: learning rate.
        schedule: weight and exponent of the regularizer.
        seed: decides which samples are drawn.
        keep_nearest: whether a unit keeps rounding to nearest unless learning lowered its error on all samples.
        train_mode: whether the unit learns in training mode, so that its dropout is active.
        second_free: whether the second half of a split weight is left out of the regularizer and, where the unit is
            a single layer, not learned at all.

    Raises:
        FpsimError: a value that makes no sense.
    """

    iterations: int = 300
    batch_size: int = 16
    lr: float = 1e-2
    schedule: Schedule = field(default_factory=lambda: Schedule(weight=0.01))
    seed: int = 0
    keep_nearest: bool = True
    train_mode: bool = False
    second_free: bool = False

    def __post_init__(self) -> None:
        if self.iterations < 0 or self.batch_size < 1 or not 0 < self.lr < float("inf"):
            raise FpsimError(
                f"weights learn in {self.iterations} iterations of {self.batch_size} samples with rate {self.lr}; "
                "give 0 or more iterations, at least 1 sample and a positive rate"
            )

    @classmethod
    def paper(cls) -> WeightOptions:
        """Return Q-Diffusion's settings: 20,000 iterations of 32 samples with learning rate 0.001."""
        return cls(iterations=20_000, batch_size=32, lr=1e-3)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedUnit:
    """What became of a unit's weights.

    Args:
        weights: rounded weights by the layer's name inside the unit.
        loss_before, loss_after: mean squared error of the unit's output, rounded to nearest and as returned.
        changed: the part of all weights that are not rounded to nearest.
    """

    weights: Mapping[str, Tensor]
    loss_before: float
    loss_after: float
    changed: float


def learn_unit(
    unit: nn.Module,
    grids: Mapping[str, Sequence[RoundingGrid]],
    data: UnitData,
    options: WeightOptions | None = None,
    on_step: OnStep | None = None,
) -> LearnedUnit:
    """Learn the rounding of a unit's layers together, activations in full precision.

    Args:
        unit: a module; its parameters stay as they are.
        grids: of each layer, by its name inside the unit (``""`` is the unit itself); the two grids of a split weight
            follow each other along its input channels.
        data: inputs of the quantized prefix and outputs in full precision.
        options: defaults to ``WeightOptions()``.
        on_step: told about progress.

    Raises:
        FpsimError: no layer or no sample.

    Source: Q-Diffusion, sections 3 and 4.
    """
    if not grids or not len(data):
        raise FpsimError("a unit learns its rounding from samples, for at least one layer; give both")
    options = options or WeightOptions()
    soft = _Soft(unit, grids, options)
    before = unit_error(unit, soft.nearest(), data)
    with mode(unit, training=options.train_mode):
        _descend(unit, soft, data, options, on_step)
    hard = soft.hardened()
    after = unit_error(unit, hard, data)
    if options.keep_nearest and not after < before:
        hard, after = soft.nearest(), before
    moved = sum(int((hard[key] != value).sum()) for key, value in soft.nearest().items())
    total = max(1, sum(value.numel() for value in hard.values()))
    weights = {name: hard[_key(name)] for name in grids}
    return LearnedUnit(weights=weights, loss_before=before, loss_after=after, changed=moved / total)


def unit_error(unit: nn.Module, weights: Mapping[str, Tensor], data: UnitData) -> float:
    """Return the mean squared error of a unit's output with the given parameters over all samples, in float64."""
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(data), MEASURED):
            part = data.rows(torch.arange(start, min(start + MEASURED, len(data))))
            answer = run(unit, weights, part)
            total += float((answer.double() - part.output.double()).square().sum())
    return total / max(1, data.output.numel())


def _key(name: str) -> str:
    return f"{name}.weight".lstrip(".")


class _Soft:
    """Grids and parameters of a unit's weights."""

    def __init__(self, unit: nn.Module, grids: Mapping[str, Sequence[RoundingGrid]], options: WeightOptions) -> None:
        self.grids = grids
        self.dtypes = {name: unit.get_parameter(_key(name)).dtype for name in grids}
        self.shape = Parametrization("rectified")
        alone = options.second_free and set(grids) == {""}
        self.alphas = {
            (name, i): self.shape.start(grid.fraction).requires_grad_()
            for name, parts in grids.items()
            for i, grid in enumerate(parts)
            if not (alone and i)
        }
        self.free = options.second_free

    def positions(self) -> dict[tuple[str, int], Tensor]:
        return {key: self.shape.value(alpha) for key, alpha in self.alphas.items()}

    def soft(self, positions: Mapping[tuple[str, int], Tensor]) -> dict[str, Tensor]:
        return self._joined(
            lambda name, i, grid: grid.soft(positions[name, i]) if (name, i) in positions else grid.nearest
        )

    def pressure(self, positions: Mapping[tuple[str, int], Tensor], beta: float) -> Tensor:
        counted = [penalty(h, beta) for (_, i), h in positions.items() if not (self.free and i)]
        return torch.stack(counted).sum()

    def hardened(self) -> dict[str, Tensor]:
        with torch.no_grad():
            h = self.positions()
            return self._joined(lambda name, i, grid: grid.harden(h[name, i]) if (name, i) in h else grid.nearest)

    def nearest(self) -> dict[str, Tensor]:
        return self._joined(lambda _name, _i, grid: grid.nearest)

    def _joined(self, part: Callable[[str, int, RoundingGrid], Tensor]) -> dict[str, Tensor]:
        return {
            _key(name): _cat([part(name, i, grid) for i, grid in enumerate(parts)]).to(self.dtypes[name])
            for name, parts in self.grids.items()
        }


def _cat(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=1)


def _descend(unit: nn.Module, soft: _Soft, data: UnitData, options: WeightOptions, on_step: OnStep | None) -> None:
    alphas = list(soft.alphas.values())
    optimizer, source = torch.optim.Adam(alphas, lr=options.lr), torch.Generator().manual_seed(options.seed)
    for iteration in range(options.iterations):
        part = data.rows(draw(len(data), options.batch_size, source))
        with torch.enable_grad():
            positions = soft.positions()
            answer = run(unit, soft.soft(positions), part)
            objective = error_sum(answer, part.output, 2.0)
            weight, beta = options.schedule.at(iteration, options.iterations)
            if weight:
                objective = objective + weight * soft.pressure(positions, beta)
        # A layer may be without effect on what is compared, such as one of a second result.
        gradients = torch.autograd.grad(objective, alphas, allow_unused=True, materialize_grads=True)
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        optimizer.step()
        if on_step is not None:
            on_step(iteration + 1, options.iterations)
