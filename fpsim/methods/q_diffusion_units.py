"""The order of a model's units, and what each costs to reconstruct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.model.layers import quantizable


def run_order(model: nn.Module, units: Mapping[str, tuple[str, ...]], call: Mapping[str, Any]) -> dict[str, float]:
    """Return the units in the order in which they run, with their multiplications in one call.

    A U-Net's definition may have its up path before its middle; the prefix of a unit is what runs before it.

    Args:
        model: any module.
        units: layers' names inside each unit.
        call: keyword arguments of the model.
    """
    costs: dict[str, float] = {}
    hooks = []

    def began(unit: str) -> Any:
        return lambda *_: costs.setdefault(unit, 0.0)

    def counted(unit: str) -> Any:
        def hook(module: Any, _args: Any, result: Tensor) -> None:
            costs[unit] += result.numel() / max(1, module.weight.shape[0]) * module.weight.numel()

        return hook

    for unit, parts in units.items():
        block = model.get_submodule(unit)
        hooks.append(block.register_forward_pre_hook(_silent(began(unit))))
        layers = dict(quantizable(block))
        hooks += [layers[part].register_forward_hook(counted(unit)) for part in parts]
    try:
        with torch.no_grad():
            model(**call)
    finally:
        for each in hooks:
            each.remove()
    return costs


def _silent(function: Any) -> Any:
    """A hook that changes nothing."""

    def hook(*_: Any) -> None:
        function()

    return hook


def full_names(unit: str, parts: Sequence[str]) -> dict[str, str]:
    """Return the layers' names in the model by their names inside a unit.

    >>> full_names("mid.resnet", ("conv1",)), full_names("conv_in", ("",))
    ({'conv1': 'mid.resnet.conv1'}, {'': 'conv_in'})
    """
    return {part: f"{unit}.{part}".strip(".") for part in parts}
