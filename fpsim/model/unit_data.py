"""What enters and leaves one unit of a model in calibration."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fpsim.errors import FpsimError
from fpsim.model.timestep import Clock
from fpsim.model.undo import restored
from fpsim.quant.reconstruction.batch import UnitData, first_tensor


class _Enough(Exception):
    """The unit has run; what comes after it in the model does not matter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Call:
    """Arguments and output of a unit at one call, and the timesteps of its samples."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Tensor
    timesteps: Tensor | None


def capture(
    model: nn.Module,
    name: str,
    calls: Sequence[Mapping[str, Any]],
    weights: Mapping[str, Tensor] | None = None,
    clock: Clock | None = None,
) -> UnitData:
    """Run a model up to one of its modules and return the module's arguments and output over all calls.

    Args:
        model: any module.
        name: of the module inside it.
        calls: keyword arguments of the model, one mapping a call.
        weights: parameters that stand for the model's own, by name: those of the quantized prefix.
        clock: of the model, to note the timestep of each sample; None notes none.

    Raises:
        FpsimError: a call does not run the module, or has neither one timestep nor one for each sample.
    """
    unit = model.get_submodule(name)
    found: list[_Call] = []

    def keep(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        output = first_tensor(result).detach().clone()
        times = None if clock is None else _timesteps(clock, len(output), name)
        found.append(_Call(args=_detached(args), kwargs=_detached(kwargs), output=output, timesteps=times))
        raise _Enough

    hook = unit.register_forward_hook(keep, with_kwargs=True)
    undo = [hook.remove] + ([] if clock is None else clock.attach(model))
    with restored(undo), torch.no_grad():
        for number, call in enumerate(calls, 1):
            with contextlib.suppress(_Enough):
                functional_call(model, dict(weights or {}), (), dict(call))
            if len(found) < number:
                raise FpsimError(f"the calibration never ran {name!r}, so it cannot be reconstructed; skip it")
    return _joined(found)


def _timesteps(clock: Clock, samples: int, name: str) -> Tensor:
    order = clock.order
    if order is None or len(order) not in (1, samples):
        given = 0 if order is None else len(order)
        raise FpsimError(
            f"{name or 'the model'!r} has {samples} samples, but its call has {given} timesteps, which timestep bins "
            "follow; call the model with one timestep or one a sample, or drop the bins"
        )
    return order.expand(samples)


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, tuple | list):
        return type(value)(_detached(item) for item in value)
    if isinstance(value, dict):
        return {key: _detached(item) for key, item in value.items()}
    return value


def _joined(found: Sequence[_Call]) -> UnitData:
    first, lengths = found[0], [len(each.output) for each in found]
    times = [each.timesteps for each in found if each.timesteps is not None]
    return UnitData(
        args=tuple(_cat([each.args[i] for each in found], lengths) for i in range(len(first.args))),
        kwargs={key: _cat([each.kwargs[key] for each in found], lengths) for key in first.kwargs},
        output=torch.cat([each.output for each in found]),
        timesteps=torch.cat(times) if times else None,
    )


def _cat(values: list[Any], lengths: list[int]) -> Any:
    whole = all(
        isinstance(v, Tensor) and v.ndim and len(v) == length for v, length in zip(values, lengths, strict=True)
    )
    return torch.cat(values) if whole else values[0]
