"""Operations of a trace as calls of torch that can be timed: the same counts, on random values."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F

from fpsim.cost.operations import Operation

#: Head dimension, groups and channels where an operation's counts leave them open.
_GROUPS, _CHANNELS = 32, 320
#: Copies of an operation's values that are used in turn, and the bytes that they may take in all: a network comes to
#: each of its operations with other values in the caches.
_COPIES, _COLD = 16, 1 << 26


def kernel(operation: Operation, device: str, dtype: torch.dtype) -> Callable[[], Any] | None:
    """Return a call that does what an operation does, None where its shape does not follow from its counts.

    Args:
        operation: of a trace.
        device: ``cpu`` or ``cuda``.
        dtype: of all values.
    """
    make = {
        "conv": _conv,
        "linear": _linear,
        "attention": _attention,
        "norm": _norm,
        "activation": _activation,
        "elementwise": _elementwise,
        "layout": _layout,
    }[operation.kind]
    elements = operation.weights + operation.inputs + operation.outputs
    copies = max(1, min(_COPIES, _COLD // max(4 * elements, 1)))
    with torch.no_grad():
        made = [make(operation, lambda *shape: torch.randn(*shape, device=device).to(dtype)) for _ in range(copies)]
    calls = [call for call in made if call is not None]
    if not calls:
        return None
    ring = cycle(calls)
    return lambda: next(ring)()


Random = Callable[..., torch.Tensor]


def _conv(operation: Operation, random: Random) -> Callable[[], Any] | None:
    """Square images and kernels: taps over squared stride follow from the counts."""
    if operation.gemm is None or operation.gemm[0] != 1:
        return None
    _, rows, out, depth = operation.gemm
    ratio = rows * depth / max(operation.inputs, 1)
    found = next(((k, s) for k, s in ((3, 1), (1, 1), (3, 2)) if math.isclose(ratio, k * k / s / s, rel_tol=0.1)), None)
    side = math.isqrt(rows)
    if found is None or side * side != rows:
        return None
    size, stride = found
    into = depth // size**2
    x, weight = random(1, into, side * stride, side * stride), random(out, into, size, size)
    return lambda: F.conv2d(x, weight, None, stride, size // 2)


def _linear(operation: Operation, random: Random) -> Callable[[], Any] | None:
    if operation.gemm is None or operation.gemm[0] != 1:
        return None
    _, rows, out, depth = operation.gemm
    x, weight = random(rows, depth), random(out, depth)
    return lambda: F.linear(x, weight)


def _attention(operation: Operation, random: Random) -> Callable[[], Any] | None:
    if operation.gemm is None or not operation.scores:
        return None
    heads, rows, columns, depth = operation.gemm
    query, key, value = (
        random(1, heads, rows, depth),
        random(1, heads, columns, depth),
        random(1, heads, columns, depth),
    )
    return lambda: F.scaled_dot_product_attention(query, key, value)


def _norm(operation: Operation, random: Random) -> Callable[[], Any] | None:
    size = operation.outputs
    if "group" in operation.op and size % _GROUPS == 0:
        x = random(1, _GROUPS, size // _GROUPS)
        return lambda: F.group_norm(x, _GROUPS)
    if size % _CHANNELS == 0 and "layer" in operation.op:
        x = random(size // _CHANNELS, _CHANNELS)
        return lambda: F.layer_norm(x, (_CHANNELS,))
    return None


def _activation(operation: Operation, random: Random) -> Callable[[], Any]:
    x = random(max(operation.outputs, 1))
    return (lambda: F.gelu(x)) if "gelu" in operation.op else (lambda: F.silu(x))


def _elementwise(operation: Operation, random: Random) -> Callable[[], Any]:
    x = random(max(operation.outputs, 1))
    if operation.inputs > operation.outputs:
        y = random(max(operation.outputs, 1))
        return lambda: x + y
    return lambda: x * 0.5


def _layout(operation: Operation, random: Random) -> Callable[[], Any]:
    x = random(max(operation.outputs, 1))
    return lambda: x.clone()
