"""Each layer's operands in each format, as a quantized model has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from fpsim.methods.importance.job import ImportanceJob
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.split import SplitWeight
from fpsim.quant.policy import TensorSpec


def rounded_weight(job: ImportanceJob, name: str, spec: TensorSpec | None) -> tuple[Tensor, Tensor]:
    """Return a layer's weight and what becomes of it.

    Raises:
        FpsimError: the layer cannot take the format.
    """
    module: Any = job.layers[name]
    exact: Tensor = module.weight.detach()
    if spec is None:
        return exact, exact
    with job.quantized(name, weights=spec) as handle:
        return exact, handle.weights[name](exact)


def weight_operand(job: ImportanceJob, name: str, spec: TensorSpec | None) -> Callable[[Tensor], Tensor] | None:
    """Return what rounds a layer's weight, its scales found now; it keeps them and nothing else. None: full precision.

    Raises:
        FpsimError: the layer cannot take the format.
    """
    if spec is None:
        return None
    with job.quantized(name, weights=spec) as handle:
        operand = handle.weights[name]
    _drop(operand)

    def rounded(weight: Tensor) -> Tensor:
        try:
            return operand(weight)
        finally:
            _drop(operand)

    return rounded


def _drop(operand: WeightOperand) -> None:
    """Let an operand forget the weight it has seen, but not its scales."""
    operand.source = operand.rounded = None
    if isinstance(operand, SplitWeight):
        _drop(operand.first)
        _drop(operand.second)


def act_operands(job: ImportanceJob) -> list[dict[str, list[ActivationOperand | None]]]:
    """Return what quantizes each layer's input in each format, for each of the probes' calls; None: full precision.

    Raises:
        FpsimError: a layer cannot take a format.
    """
    by_bin: list[dict[str, list[ActivationOperand | None]]] = [
        {name: [_act_operand(job, name, spec, number) for spec in job.acts] for name in job.layers}
        for number in range(job.bins.count)
    ]
    return [by_bin[job.bins.of(t)] for t in job.probes.call_timesteps]


def _act_operand(job: ImportanceJob, name: str, spec: TensorSpec | None, number: int) -> ActivationOperand | None:
    if spec is None:
        return None
    with job.quantized(name, acts=spec, only=number) as handle:
        return handle.acts[name]
