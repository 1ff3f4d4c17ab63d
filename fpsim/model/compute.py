"""Lets a quantized model's products run on a tensor core, or says why they cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from fpsim.errors import FpsimError
from fpsim.model.arithmetic import Arithmetic
from fpsim.model.attention import AttentionInterception
from fpsim.model.attention_core import CoreAttention
from fpsim.model.core_product import CoreProduct
from fpsim.model.intercept import Interception
from fpsim.model.layers import quantizable
from fpsim.model.operand_types import choose
from fpsim.quant.policy import Rule

if TYPE_CHECKING:
    from fpsim.model.attach import Handle

_RUNNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d)


def check(model: nn.Module, rules: Mapping[str, Rule], arithmetic: Arithmetic) -> dict[str, str]:
    """Refuse before any work what a tensor core cannot compute.

    Args:
        model: not quantized.
        rules: of its layers.
        arithmetic: the tensor core.

    Returns:
        The operand types and the instruction of each quantized layer.

    Raises:
        FpsimError: as :func:`compute_with`.
    """
    layers, said = dict(quantizable(model)), dict[str, str]()
    for name, rule in rules.items():
        if rule.weights is None and rule.acts is None:
            continue
        _check_layer(name, layers[name], weights=rule.weights is not None, acts=rule.acts is not None)
        if rule.weights is not None and rule.acts is not None:
            formats = rule.acts.stored, rule.weights.stored
            said[name] = str(choose(arithmetic, *formats, _where(name)))
    return said


def compute_with(model: nn.Module, handle: Handle, arithmetic: Arithmetic) -> dict[str, str]:
    """Let a quantized model's layers, and its attentions with quantized operands, compute with a tensor core.

    Args:
        model: that ``handle`` quantizes.
        handle: of the model; its ``remove`` undoes this as well.
        arithmetic: the tensor core.

    Returns:
        The operand types and the instruction of each product, by layer.

    Raises:
        FpsimError: a layer with one quantized operand, of a kind that has no matrix product, or with formats that no
            type of the architecture holds; nothing is changed.
    """
    modules, said, given = dict(model.named_modules()), dict[str, str](), list[tuple[Any, Any]]()
    for layer in handle.coverage.quantized:
        name, module = layer.name, modules[layer.name]
        acts, weights = handle.acts.get(name), handle.weights.get(name)
        _check_layer(name, module, weights=weights is not None, acts=acts is not None)
        assert acts is not None, "just checked"
        assert weights is not None, "just checked"
        product = CoreProduct(acts, weights, arithmetic, _where(name))
        given.append((vars(module)["forward"], product))
        said[name] = str(product)
    for name, module in modules.items():
        forward = vars(module).get("forward")
        if isinstance(forward, AttentionInterception):
            attention = CoreAttention(forward.operands, arithmetic, name)
            given.append((forward, attention))
            said |= {f"{name}:{roles}": words for roles, words in attention.described.items()}
    for forward, product in given:
        assert isinstance(forward, Interception | AttentionInterception), "the handle put it there"
        forward.product = product
    handle.products = said
    return said


def _check_layer(name: str, module: nn.Module, *, weights: bool, acts: bool) -> None:
    if not isinstance(module, _RUNNABLE):
        raise FpsimError(f"{_where(name)} is a {type(module).__name__}, which has no tensor-core product here; skip it")
    if not (weights and acts):
        what = "activations" if weights else "weights"
        raise FpsimError(
            f"{_where(name)} has {what} in full precision, which no tensor core takes; quantize them too, or skip it"
        )


def _where(name: str) -> str:
    return f"layer {name!r}" if name else "the model"
