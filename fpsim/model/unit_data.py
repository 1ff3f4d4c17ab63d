"""What enters and leaves one unit of a model in calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fpsim.errors import FpsimError
from fpsim.quant.reconstruction.batch import UnitData, first_tensor


class _Enough(Exception):
    """The unit has run; what comes after it in the model does not matter."""


def capture(
    model: nn.Module, name: str, calls: Sequence[Mapping[str, Any]], weights: Mapping[str, Tensor] | None = None
) -> UnitData:
    """Run a model up to one of its modules and return the module's arguments and output over all calls.

    Args:
        model: any module.
        name: of the module inside it.
        calls: keyword arguments of the model, one mapping a call.
        weights: parameters that stand for the model's own, by name: those of the quantized prefix.

    Raises:
        FpsimError: a call does not run the module.
    """
    unit = model.get_submodule(name)
    found: list[tuple[tuple[Any, ...], dict[str, Any], Tensor]] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        found.append((_detached(args), _detached(kwargs), first_tensor(result).detach().clone()))
        raise _Enough

    hook = unit.register_forward_hook(keep, with_kwargs=True)
    try:
        with torch.no_grad():
            for number, call in enumerate(calls, 1):
                try:
                    functional_call(model, dict(weights or {}), (), dict(call))
                except _Enough:
                    pass
                if len(found) < number:
                    raise FpsimError(f"the calibration never ran {name!r}, so it cannot be reconstructed; skip it")
    finally:
        hook.remove()
    return _joined(found)


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return type(value)(_detached(item) for item in value)
    if isinstance(value, dict):
        return {key: _detached(item) for key, item in value.items()}
    return value


def _joined(found: list[tuple[tuple[Any, ...], dict[str, Any], Tensor]]) -> UnitData:
    args, kwargs, _ = found[0]
    lengths = [len(output) for _, _, output in found]
    return UnitData(
        args=tuple(_cat([each[0][i] for each in found], lengths) for i in range(len(args))),
        kwargs={key: _cat([each[1][key] for each in found], lengths) for key in kwargs},
        output=torch.cat([output for _, _, output in found]),
    )


def _cat(values: list[Any], lengths: list[int]) -> Any:
    whole = all(
        isinstance(v, Tensor) and v.ndim and len(v) == length for v, length in zip(values, lengths, strict=True)
    )
    return torch.cat(values) if whole else values[0]
