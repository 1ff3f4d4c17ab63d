"""Operands as single operations for ``torch.compile``: it neither traces nor changes what rounds."""

from __future__ import annotations

import weakref
from itertools import count
from typing import Any

import torch
from torch import Tensor

# Weak: a model that is gone leaves nothing behind.
_OPERANDS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_NUMBERS = count()


def register(operand: Any) -> int | None:
    """Return the number by which compiled code calls an operand; None for none."""
    if operand is None:
        return None
    number = next(_NUMBERS)
    _OPERANDS[number] = operand
    return number


def call(operand: Any, number: int | None, x: Tensor) -> Tensor:
    """Return ``operand(x)`` as one operation of the graph that is being compiled.

    Args:
        operand: or None, which lets ``x`` pass.
        number: of :func:`register`.
        x: a tensor.
    """
    if operand is None or number is None:
        return x
    clock = _clock(operand)
    result: Tensor = _apply(x, None if clock is None else clock.order, number)
    return result


def _clock(operand: Any) -> Any:
    """What tells an operand, or a half of it, the timestep."""
    parts = operand, getattr(operand, "first", None), getattr(operand, "second", None)
    for part in parts:
        clock = getattr(part, "clock", None)
        if clock is not None:
            return clock
    return None


def _run(x: Tensor, order: Tensor | None, number: int) -> Tensor:
    """Call an operand at the timesteps of ``order``: they are an argument, so that no pass over a graph drops them."""
    operand = _OPERANDS[number]
    clock = _clock(operand)
    if clock is None:
        result: Tensor = operand(x)
        return result
    kept, clock.order = clock.order, order
    try:
        result = operand(x)
    finally:
        clock.order = kept
    return result


@torch.library.custom_op("fpsim::operand", mutates_args=(), schema="(Tensor x, Tensor? order, int number) -> Tensor")
def _apply(x: Tensor, order: Tensor | None, number: int) -> Tensor:
    with torch.no_grad():
        # A copy: neither the input itself nor memory that the next operand writes to, and laid out like the input.
        return torch.empty_like(x).copy_(_run(x, order, number))


@torch.library.custom_op(
    "fpsim::operand_gradient", mutates_args=(), schema="(Tensor grad, Tensor x, Tensor? order, int number) -> Tensor"
)
def _gradient(grad: Tensor, x: Tensor, order: Tensor | None, number: int) -> Tensor:
    with torch.enable_grad():
        source = x.detach().requires_grad_()
        (found,) = torch.autograd.grad(_run(source, order, number), source, grad)
    return torch.empty_like(x).copy_(found)


@_apply.register_fake
def _(x: Tensor, order: Tensor | None, number: int) -> Tensor:
    return torch.empty_like(x)


@_gradient.register_fake
def _(grad: Tensor, x: Tensor, order: Tensor | None, number: int) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor | None, int], output: Tensor) -> None:
    x, order, ctx.number = inputs
    ctx.save_for_backward(x, order)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
    x, order = ctx.saved_tensors
    return _gradient(grad, x, order, ctx.number), None, None


_apply.register_autograd(_backward, setup_context=_keep)
