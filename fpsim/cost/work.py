"""From operations to work: what a device has to compute and to move for each, given formats and runtime."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from fpsim.cost.operations import KINDS, Operation
from fpsim.cost.runtime import Setting
from fpsim.cost.support import Support

#: Classes of work: those of operations, and kernels that quantize.
CLASSES = (*KINDS, "quantize")
#: Operations an element of a softmax: maximum, difference, exponential, sum, quotient.
_SOFTMAX = 5

#: The support of an operation's formats on a device.
Formats = Callable[[Operation], Support]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one operation asks of a device.

    Attributes:
        layer: the operation's module.
        kind: one of :data:`CLASSES`.
        compute: compute type of a product, a key of a device's peaks; "" for everything else, which the vector units
            do.
        flops: of the products, or of the vector units.
        decode: elements that are decoded from codes before they are multiplied.
        bytes: read and written.
        prepared: of them, those of weights that a CPU's algorithm transforms first.
        kernels: launched.
        algorithm: ``winograd`` for a 3×3 convolution of stride 1, ``library`` for a product of naive attention, else
            "".
    """

    layer: str
    kind: str
    compute: str = ""
    flops: float = 0.0
    decode: float = 0.0
    bytes: float = 0.0
    prepared: float = 0.0
    kernels: int = 1
    algorithm: str = ""


def works(operations: Iterable[Operation], formats: Formats, setting: Setting) -> Iterator[Work]:
    """Yield the work of operations in their order, kernels that quantize before what needs them.

    Args:
        operations: of one component.
        formats: how the device computes each operation.
        setting: runtime, attention, quantize operations and working type.
    """
    for operation in operations:
        if not operation.macs:
            yield _other(operation, setting)
        elif operation.scores and setting.attention == "naive":
            yield from _naive(operation, formats(operation), setting)
        else:
            support = formats(operation)
            if setting.quantize == "separate" and support.act_bits < 8 * setting.bytes and _is_layer(operation):
                yield _quantize(operation, support, setting)
            yield _product(operation, support, setting)


def is_winograd(operation: Operation) -> bool:
    """Whether a convolution has nine taps and stride 1, by its counts."""
    if operation.kind != "conv" or operation.gemm is None:
        return False
    batch, rows, _, depth = operation.gemm
    return math.isclose(batch * rows * depth, 9 * operation.inputs, rel_tol=0.05)


def _is_layer(operation: Operation) -> bool:
    return operation.kind in ("conv", "linear")


def _product(operation: Operation, support: Support, setting: Setting) -> Work:
    layer = _is_layer(operation)
    wide = 8 * setting.bytes
    weight_bits, act_bits = (support.weight_bits, support.act_bits) if layer else (wide, wide)
    bits = operation.weights * weight_bits + operation.inputs * act_bits + operation.outputs * wide
    winograd = is_winograd(operation)
    decode = operation.weights * support.decode_weights + operation.inputs * support.decode_acts
    return Work(
        layer=operation.layer,
        kind=operation.kind,
        compute=support.compute,
        flops=float(operation.flops),
        decode=float(decode if layer else 0),
        bytes=bits / 8,
        prepared=float(operation.weights * setting.bytes) if winograd else 0.0,
        kernels=setting.kernels(operation.kind, operation.kernels),
        algorithm="winograd" if winograd else "",
    )


def _naive(operation: Operation, support: Support, setting: Setting) -> Iterator[Work]:
    """Yield a product, a softmax and a product, with the score matrix in memory between them."""
    scores, query = operation.scores * setting.bytes, operation.outputs * setting.bytes
    key = max(operation.inputs * setting.bytes - query, 0) / 2
    half = Work(
        layer=operation.layer,
        kind="attention",
        compute=support.compute,
        flops=operation.flops / 2,
        bytes=query + key + scores,
        algorithm="library",
    )
    yield half
    yield replace(half, compute="", flops=float(_SOFTMAX * operation.scores), bytes=float(2 * scores), algorithm="")
    yield half


def _other(operation: Operation, setting: Setting) -> Work:
    moved = (operation.weights + operation.inputs + operation.outputs) * setting.bytes
    return Work(
        layer=operation.layer,
        kind=operation.kind,
        flops=float(operation.flops),
        bytes=moved * setting.traffic(operation.kind),
        kernels=setting.kernels(operation.kind, operation.kernels),
    )


def _quantize(operation: Operation, support: Support, setting: Setting) -> Work:
    """Return what writes codes: one pass over the working type, one more before it for dynamic scales."""
    dynamic = setting.act_scales == "dynamic"
    moved = operation.inputs * (setting.bytes * (1 + dynamic) + support.act_bits / 8)
    return Work(layer=operation.layer, kind="quantize", bytes=moved, kernels=1 + dynamic)
