"""Weights whose rounding was learned, given to the layers that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.coverage import Coverage
from fpsim.model.layers import has_plain_weight
from fpsim.model.operands import WeightOperand
from fpsim.model.split import SplitWeight
from fpsim.quant.rounding.grid import on_grid

#: What the coverage adds to the description of such a weight.
NOTE = "learned rounding"


def give(learned: Mapping[str, Tensor], layers: Mapping[str, nn.Module], operands: Mapping[str, WeightOperand]) -> None:
    """Let layers compute with rounded weights that were learned, as long as their parameters do not change.

    Args:
        learned: rounded weights by layer.
        layers: the model's layers.
        operands: those of the layers' weights.

    Raises:
        FpsimError: a layer whose weight is not quantized, or a tensor that is no rounding of its weight.
    """
    for name, rounded in learned.items():
        if name not in operands:
            raise FpsimError(f"there is a learned weight for {name!r}, but the policy does not quantize that weight")
        _check(name, layers[name], operands[name], rounded)
        weight: Any = layers[name].weight
        operands[name].learn(weight.detach(), rounded)


def _check(name: str, module: Any, operand: WeightOperand, rounded: Tensor) -> None:
    if not has_plain_weight(module):
        raise FpsimError(f"{name!r} computes its weight at run time, so no learned one can stand for it; drop it")
    weight = module.weight.detach()
    if rounded.shape != weight.shape or rounded.dtype != weight.dtype:
        raise FpsimError(
            f"the learned weight of {name!r} is {_kind(rounded)}, but the layer's is {_kind(weight)}; learn it again"
        )
    for quantizer, mine, learned in _parts(operand, weight, rounded.to(weight.device)):
        if not on_grid(learned, mine, quantizer):
            raise FpsimError(
                f"the learned weight of {name!r} has values that {quantizer.format.name} with the layer's scales "
                "does not have; it was learned for another format, scale or model"
            )


def _parts(operand: WeightOperand, *tensors: Tensor) -> Iterator[tuple[Any, ...]]:
    """The quantizer and what it rounds of each tensor: all of it, or of a split layer one half after the other."""
    if not isinstance(operand, SplitWeight):
        yield operand.quantizer, *tensors
        return
    halves = zip(*(operand.parts(tensor) for tensor in tensors), strict=True)
    for half, some in zip((operand.first, operand.second), halves, strict=True):
        yield half.quantizer, *some


def _kind(x: Tensor) -> str:
    return f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"


def note(coverage: Coverage, names: Iterable[str]) -> Coverage:
    """Return the coverage with a note at the layers whose rounding was learned."""
    chosen = set(names)
    layers = (
        replace(layer, weights=f"{layer.weights}, {NOTE}") if layer.name in chosen else layer
        for layer in coverage.quantized
    )
    return Coverage(tuple(layers), coverage.left)
