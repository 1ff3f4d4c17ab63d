"""What a unit of a model received and answered in calibration, as one batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitData:
    """Arguments of a unit and its wanted outputs, sample by sample along the first axis.

    Args:
        args, kwargs: as the unit takes them; tensors as long as ``output`` have a sample axis, others are shared.
        output: the unit's output in full precision.
        timesteps: float64, one a sample; None where they do not matter.
    """

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor
    timesteps: Tensor | None = None

    def __len__(self) -> int:
        return len(self.output)

    def rows(self, indices: Tensor) -> UnitData:
        """Return the samples with the given indices."""
        return UnitData(
            args=tuple(self._taken(value, indices) for value in self.args),
            kwargs={key: self._taken(value, indices) for key, value in self.kwargs.items()},
            output=self.output[indices],
            timesteps=None if self.timesteps is None else self.timesteps[indices.to(self.timesteps.device)],
        )

    def _taken(self, value: Any, indices: Tensor) -> Any:
        return value[indices] if isinstance(value, Tensor) and value.ndim and len(value) == len(self) else value


def error_sum(answer: Tensor, wanted: Tensor, exponent: float) -> Tensor:
    """Return ``|answer − wanted|^exponent``, summed over channels and averaged over samples and positions.

    Args:
        answer, wanted: ``[N, C, H, W]``, or with channels last.
        exponent: 2 for weights, 2.4 for step sizes.
    """
    channels = answer.shape[1] if answer.ndim == 4 else answer.shape[-1]
    return (answer.float() - wanted.float()).abs().pow(exponent).mean() * channels


def draw(count: int, size: int, source: torch.Generator) -> Tensor:
    """Return the indices of a random mini-batch without repetition."""
    return torch.randperm(count, generator=source)[:size]


def run(unit: nn.Module, weights: Mapping[str, Tensor], part: UnitData) -> Tensor:
    """Return a unit's output with the given parameters for some samples."""
    return first_tensor(functional_call(unit, dict(weights), part.args, dict(part.kwargs)))


@contextlib.contextmanager
def mode(unit: nn.Module, *, training: bool) -> Iterator[None]:
    """Let a unit and all inside it be in training mode, or out of it, inside a ``with`` block."""
    was = {module: module.training for module in unit.modules()}
    unit.train(training)
    try:
        yield
    finally:
        for module, before in was.items():
            module.training = before


def first_tensor(answer: Any) -> Tensor:
    """Return a unit's answer, the first of a tuple."""
    tensor: Tensor = answer[0] if isinstance(answer, tuple) else answer
    return tensor
