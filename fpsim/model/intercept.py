"""Puts functions between a layer and its product: on the input and on the weight, wherever the class computes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fpsim.errors import FpsimError
from fpsim.model import opaque
from fpsim.model.layers import PRODUCTS, is_stock

Operand = Callable[[Tensor], Tensor]


class _Local(threading.local):
    """The layers whose forward is running in this thread, innermost last."""

    def __init__(self) -> None:
        self.running: list[nn.Module] = []


_LOCAL = _Local()


class Interception:
    """A layer's ``forward`` that multiplies ``acts(input)`` with ``weights(weight)``.

    A stock layer calls its product directly; any other class runs its own forward, and the call of
    ``torch.nn.functional`` in it gets the operands, after all transforms of the class. An object and no closure, so
    that a copy of the model computes with the copy's weights.

    Args:
        module: a quantizable layer.
        acts: maps the input of the product, or None.
        weights: maps the weight of the product, or None.
        name: of the layer; with it, a forward without any product is an error.

    Attributes:
        product: computes the product in place of torch, with operands of its own; None for torch's.
    """

    def __init__(self, module: Any, acts: Operand | None, weights: Operand | None, name: str | None = None) -> None:
        self.module, self.acts, self.weights, self.name = module, acts, weights, name
        self.before = vars(module).get("forward")
        self.stock, self.live = is_stock(module), True
        self.product: Any = None
        self._register()
        module.forward = self

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._register()  # a copy has operands of its own

    def _register(self) -> None:
        self.numbers = opaque.register(self.acts), opaque.register(self.weights)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling() and self.live and self.stock and self.product is None:
            return self._direct(*args, **kwargs)
        _LOCAL.running.append(self.module)
        try:
            if self.live and self.stock and self.product is None:
                return self._direct(*args, **kwargs)
            with _Operands(self):
                return self._original()(*args, **kwargs)
        finally:
            _LOCAL.running.pop()

    def undo(self) -> None:
        """Give the layer its forward back; where another one was put over it since, let that one pass through."""
        self.live = False
        while isinstance(top := vars(self.module).get("forward"), Interception) and not top.live:
            if top.before is None:
                del self.module.forward
            else:
                self.module.forward = top.before

    def _original(self) -> Any:
        return self.before if self.before is not None else type(self.module).forward.__get__(self.module)

    def _direct(self, input: Tensor) -> Tensor:
        module = self.module
        if torch.compiler.is_compiling():
            x = opaque.call(self.acts, self.numbers[0], input)
            w = opaque.call(self.weights, self.numbers[1], module.weight)
        else:
            x = input if self.acts is None else self.acts(input)
            w = module.weight if self.weights is None else self.weights(module.weight)
        if isinstance(module, nn.Linear):
            return F.linear(x, w, module.bias)
        result: Tensor = module._conv_forward(x, w, module.bias)
        return result


class _Operands(TorchFunctionMode):
    """Replaces the operands of products that the layer itself calls, not those of layers inside it."""

    def __init__(self, interception: Interception) -> None:
        super().__init__()
        self.of, self.products = interception, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, of = dict(kwargs or {}), self.of
        if of.live and func in PRODUCTS and _LOCAL.running[-1:] == [of.module]:
            self.products += 1
            if of.product is not None and of.product.active:
                return of.product(func, *args, **kwargs)
            args = list(args)
            for place, key, operand in ((0, "input", of.acts), (1, "weight", of.weights)):
                if operand is not None and len(args) > place:
                    args[place] = operand(args[place])
                elif operand is not None and key in kwargs:
                    kwargs[key] = operand(kwargs[key])
        return func(*args, **kwargs)

    def __exit__(self, kind: Any, *error: Any) -> None:
        super().__exit__(kind, *error)  # type: ignore[no-untyped-call]
        of = self.of
        if kind is None and of.live and of.name is not None and not self.products:
            raise FpsimError(
                f"layer {of.name!r} ({type(of.module).__name__}) calls neither torch.nn.functional.linear nor a "
                "convolution of it, so its operands cannot be quantized; skip it"
            )
