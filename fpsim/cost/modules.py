"""Operation lists of any module: copied to the meta device without its weights, run once there."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.cost.attention_groups import groups
from fpsim.cost.classify import operations
from fpsim.cost.events import Event
from fpsim.cost.liveness import liveness
from fpsim.cost.operations import Component
from fpsim.cost.recorder import record
from fpsim.errors import FpsimError

Inputs = tuple[Any, ...] | Mapping[str, Any]


def trace_module(
    module: nn.Module, inputs: Inputs, *, name: str = "denoiser", method: str = "forward", calls: int = 0
) -> Component:
    """Return what a module computes for given inputs, in evaluation mode, without computing it.

    Args:
        module: on any device; it is left as it is, and its weights are not copied.
        inputs: positional arguments as a tuple, or keyword arguments as a mapping; of tensors only shape and type
            count.
        name: of the component.
        method: of the module that is called.
        calls: how often it runs for one image; 0 for once a step.

    Returns:
        The component, with operations for the batch that the inputs have.

    Raises:
        FpsimError: the module refuses the inputs, or looks at values, which do not exist here.

    >>> import torch
    >>> component = trace_module(torch.nn.Linear(3, 2), (torch.empty(4, 3),))
    >>> [(operation.op, operation.macs, operation.gemm) for operation in component.operations]
    [('aten.addmm', 24, (1, 4, 2, 3))]
    """
    events = record_module(module, inputs, method=method)
    attentions, ops = groups(events), operations(events)
    live = liveness(events, attentions)
    return Component(
        name=name,
        operations=ops,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        buffers=sum(buffer.numel() for buffer in module.buffers()),
        live=live.peak,
        live_naive=live.with_scores([group.scores for group in attentions]),
        calls=calls,
        attention_live=live.attention,
        parameter_shapes=tuple((key, tuple(item.shape)) for key, item in module.named_parameters()),
    )


def record_module(module: nn.Module, inputs: Inputs, *, method: str = "forward") -> tuple[Event, ...]:
    """Return the operators that a module calls; the arguments are those of :func:`trace_module`.

    Raises:
        FpsimError: the module refuses the inputs, or looks at values, which do not exist here.
    """
    given = _shapes(inputs)
    positional, keywords = ((), given) if isinstance(given, Mapping) else (tuple(given), {})
    try:
        shadow = on_meta(module).eval()
        call = getattr(shadow, method) if method != "forward" else shadow
        with torch.device("meta"):
            return record(shadow, lambda: call(*positional, **keywords), given)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FpsimError(
            f"{type(module).__name__} cannot be traced with these inputs ({reason}); give inputs of other shapes or "
            "types, and a module whose operations do not depend on values"
        ) from error


def on_meta(module: nn.Module) -> nn.Module:
    """Return a copy of a module without weights: every tensor that it holds is on the meta device."""
    memo: dict[int, Any] = {}
    for child in module.modules():
        held = (*child.parameters(recurse=False), *child.buffers(recurse=False), *vars(child).values())
        for tensor in held:
            if isinstance(tensor, Tensor) and id(tensor) not in memo:
                memo[id(tensor)] = _empty(tensor)
    return copy.deepcopy(module, memo)


def _empty(tensor: Tensor) -> Tensor:
    shape = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(shape, requires_grad=False) if isinstance(tensor, nn.Parameter) else shape


def _shapes(value: Any) -> Any:
    """Replace tensors in nested tuples, lists and mappings by empty ones on the meta device."""
    if isinstance(value, Tensor):
        return value if value.is_meta else _empty(value)
    if isinstance(value, Mapping):
        return {key: _shapes(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_shapes(item) for item in value)
    return value
