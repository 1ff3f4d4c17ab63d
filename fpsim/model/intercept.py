"""Puts functions between a layer and its product: on the input and on the weight, wherever the class computes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fpsim.model.layers import FORWARD_CALLS, TRANSPOSED_CALLS, is_stock

Operand = Callable[[Tensor], Tensor]


class _Local(threading.local):
    """The layers whose forward is running in this thread, innermost last."""

    def __init__(self) -> None:
        self.running: list[nn.Module] = []


_LOCAL = _Local()


def intercept(module: nn.Module, acts: Operand | None, weights: Operand | None) -> Callable[[], None]:
    """Let a layer multiply ``acts(input)`` with ``weights(weight)``; return what undoes it.

    A stock layer calls its product directly; any other class runs its own forward, and the call of
    ``torch.nn.functional`` in it gets the operands, after all transforms of the class.

    Args:
        module: a quantizable layer.
        acts: maps the input of the product, or None.
        weights: maps the weight of the product, or None.
    """
    before = vars(module).get("forward")
    inner = _direct(module, acts, weights) if is_stock(module) else _by_mode(module, module.forward, acts, weights)

    def forward(*args: Any, **kwargs: Any) -> Any:
        _LOCAL.running.append(module)
        try:
            return inner(*args, **kwargs)
        finally:
            _LOCAL.running.pop()

    module.forward = forward

    def undo() -> None:
        if before is None:
            del module.forward
        else:
            module.forward = before

    return undo


def _direct(module: Any, acts: Operand | None, weights: Operand | None) -> Callable[[Tensor], Tensor]:
    linear = isinstance(module, nn.Linear)

    def product(input: Tensor) -> Tensor:
        x = input if acts is None else acts(input)
        w = module.weight if weights is None else weights(module.weight)
        result: Tensor = F.linear(x, w, module.bias) if linear else module._conv_forward(x, w, module.bias)
        return result

    return product


def _by_mode(module: nn.Module, forward: Any, acts: Operand | None, weights: Operand | None) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with _Operands(module, acts, weights):
            return forward(*args, **kwargs)

    return run


class _Operands(TorchFunctionMode):  # type: ignore[misc]
    """Replaces the operands of products that the layer itself calls, not those of layers inside it."""

    def __init__(self, module: nn.Module, acts: Operand | None, weights: Operand | None) -> None:
        super().__init__()
        self.module, self.acts, self.weights = module, acts, weights

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if (func in FORWARD_CALLS or func in TRANSPOSED_CALLS) and _LOCAL.running[-1:] == [self.module]:
            args = list(args)
            for place, key, operand in ((0, "input", self.acts), (1, "weight", self.weights)):
                if operand is not None and len(args) > place:
                    args[place] = operand(args[place])
                elif operand is not None and key in kwargs:
                    kwargs[key] = operand(kwargs[key])
        return func(*args, **kwargs)
