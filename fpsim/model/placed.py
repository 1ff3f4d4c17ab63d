"""Attach operands that are ready: of layers, and of attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import nn

from fpsim.model.attach import Handle, put_on
from fpsim.model.attention import ROLES, AttentionInterception, AttentionOperands, attentions
from fpsim.model.coverage import Coverage
from fpsim.model.layers import quantizable
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.timestep import Clock
from fpsim.model.undo import restore


def place(
    model: nn.Module,
    coverage: Coverage,
    acts: Mapping[str, ActivationOperand],
    weights: Mapping[str, WeightOperand],
    attention: Mapping[str, AttentionOperands],
    said: Mapping[str, str],
    clock: Clock | None = None,
) -> Handle:
    """Let a model compute with given operands, in place.

    Args:
        model: any module.
        coverage: of its layers.
        acts, weights: by layer.
        attention: by attention, all of them :class:`ActivationOperand`.
        said: what the coverage says about each of these attentions.
        clock: of the model, where operands follow the timestep.

    Returns:
        The handle; ``remove`` restores the model bit for bit.

    Raises:
        FpsimError: an attention whose operands are quantized already; the model is as it was.
    """
    modules = dict(attentions(model))
    undo: list[Callable[[], None]] = [] if clock is None else clock.attach(model)
    try:
        # Attention first: it is what can be refused.
        for name, operands in attention.items():
            undo.append(AttentionInterception(modules[name], operands, name).undo)
        undo += put_on(model, dict(quantizable(model)), acts, weights)
    except BaseException:
        restore(undo)
        raise
    left = (replace(item, reason=said.get(item.name, item.reason)) for item in coverage.left)
    others = [getattr(operands, role) for operands in attention.values() for role in ROLES]
    return Handle(Coverage(coverage.quantized, tuple(left)), acts, weights, undo, others)
