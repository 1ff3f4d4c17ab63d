"""From recorded operators to counted operations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fpsim.cost.attention_groups import PRODUCTS, SOFTMAXES, Group, groups, is_activation_product, is_fused
from fpsim.cost.events import WEIGHT, Event, Operand
from fpsim.cost.operations import Operation

#: Floating-point operations an output element; exp, erf, tanh and square root count as one.
_FLOPS = {"norm": 8, "activation": 5, "elementwise": 1, "layout": 0}
_NORMS = (
    "aten.native_layer_norm",
    "aten.native_group_norm",
    "aten.native_batch_norm",
    "aten._native_batch_norm_legit_no_training",
    "aten._fused_rms_norm",
    "aten.cudnn_batch_norm",
)
_ACTIVATIONS = (
    *("silu", "gelu", "relu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "mish"),
    *("softplus", "prelu", "log_sigmoid_forward", "glu", "celu", "_log_softmax"),
)
_LAYOUTS = (
    *("clone", "copy", "_to_copy", "cat", "stack", "repeat", "constant_pad_nd", "reflection_pad2d", "flip", "roll"),
    *("replication_pad2d", "index", "index_select", "gather", "embedding", "im2col", "pixel_shuffle", "col2im"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_unsafe_index", "fill", "zeros_like"),
    *("zeros", "ones", "full", "full_like", "ones_like", "scatter", "slice_scatter", "select_scatter"),
    *("pixel_unshuffle", "channel_shuffle", "repeat_interleave", "contiguous"),
)
_ACTIVATION_OPS = frozenset(f"aten.{name}" for name in _ACTIVATIONS) | SOFTMAXES
_LAYOUT_OPS = frozenset(f"aten.{name}" for name in _LAYOUTS)
#: They reserve memory or make another handle to it; no kernel runs.
_FREE = frozenset({"aten.empty", "aten.empty_like", "aten.new_empty", "aten.empty_strided", "aten.detach", "input"})


def operations(events: Sequence[Event]) -> tuple[Operation, ...]:
    """Return the operations of a run in their order; views and reserved memory cost nothing and are left out."""
    attentions = groups(events)
    heads = {group.members[0]: group for group in attentions}
    members = {index for group in attentions for index in group.members}
    result = []
    for index, event in enumerate(events):
        if index in heads:
            result.append(_attention(events, heads[index]))
        elif index not in members and event.op not in _FREE and not event.is_view:
            result.append(_operation(event))
    return tuple(result)


def _operation(event: Event) -> Operation:
    if event.op == "aten.convolution":
        return _product(event, "conv", _convolution(event))
    if event.op in PRODUCTS:
        kind = "attention" if is_activation_product(event) and event.owner != "Linear" else "linear"
        return _product(event, kind, _matmul(event))
    kind = _kind(event)
    size = max((math.prod(out.shape) for out in event.outputs), default=0)
    if kind == "elementwise":  # a reduction works on what it reads
        size = max([size, *(item.elements for item in event.inputs)])
    return Operation(
        layer=event.layer,
        op=event.op,
        kind=kind,
        flops=_FLOPS[kind] * size,
        weights=_weights(event),
        inputs=_read(event.inputs) if event.op != "aten.embedding" else 0,
        outputs=sum(out.elements for out in event.outputs),
    )


def _kind(event: Event) -> str:
    name = event.op.removesuffix("_")
    if name in _NORMS:
        return "norm"
    if name in _LAYOUT_OPS:
        return "layout"
    if name in _ACTIVATION_OPS:
        return "activation"
    return "norm" if event.owner.endswith("Norm") else "elementwise"


def _product(event: Event, kind: str, gemm: tuple[int, int, int, int]) -> Operation:
    macs = math.prod(gemm)
    return Operation(
        layer=event.layer,
        op=event.op,
        kind=kind,
        macs=macs,
        flops=2 * macs,
        weights=_weights(event),
        inputs=_read(event.inputs),
        outputs=sum(out.elements for out in event.outputs),
        gemm=gemm,
    )


def _convolution(event: Event) -> tuple[int, int, int, int]:
    """A convolution as matrix multiplication of patches; a transposed one makes patches of each input position."""
    source, weight, out = event.inputs[0], event.inputs[1], event.outputs[0]
    taps = math.prod(weight.shape[2:])
    if event.transposed:
        rows = source.shape[0] * math.prod(source.shape[2:])
        return event.groups, rows, weight.shape[1] * taps, weight.shape[0] // event.groups
    rows = out.shape[0] * math.prod(out.shape[2:])
    return event.groups, rows, weight.shape[0] // event.groups, weight.shape[1] * taps


def _matmul(event: Event) -> tuple[int, int, int, int]:
    left, right = event.inputs[-2:]
    return math.prod(left.shape[:-2]), left.shape[-2], right.shape[-1], left.shape[-1]


def _attention(events: Sequence[Event], group: Group) -> Operation:
    """Attention as one operation that reads queries, keys, values and masks and writes the result."""
    first, last = events[group.members[0]], events[group.members[-1]]
    if is_fused(first):
        query, key, value = first.inputs[:3]
        gemm = (math.prod(query.shape[:-2]), query.shape[-2], key.shape[-2], query.shape[-1])
        macs = math.prod(gemm[:3]) * (query.shape[-1] + value.shape[-1])
    else:
        gemm = _matmul(first)
        macs = math.prod(gemm) + math.prod(_matmul(last))
    outside = [item for index in group.members for item in events[index].inputs if item.storage not in group.storages]
    return Operation(
        layer=first.layer,
        op=first.op,
        kind="attention",
        macs=macs,
        flops=2 * macs,
        weights=sum(item.elements for item in outside if item.role == WEIGHT),
        inputs=_read(outside),
        outputs=last.outputs[0].elements,
        gemm=gemm,
        scores=group.scores,
    )


def _weights(event: Event) -> int:
    if event.op == "aten.embedding":
        return event.outputs[0].elements  # only the rows that are looked up
    return sum(item.elements for item in event.inputs if item.role == WEIGHT)


def _read(operands: Sequence[Operand]) -> int:
    return sum(item.elements for item in operands if item.role != WEIGHT)
