"""Quantized attention: queries, keys, values and the output of the softmax, wherever a processor multiplies them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fpsim.errors import FpsimError
from fpsim.model.layers import attends

Operand = Callable[[Tensor], Tensor]
#: multiply((role of a, role of b), a, b)
Multiply = Callable[[tuple[str, str], Tensor, Tensor], Tensor]
#: The operands of attention by the names that they have in calibration and coverage.
ROLES = ("query", "key", "value", "softmax")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionOperands:
    """What quantizes the operands of an attention's two products.

    Args:
        query, key: ``[batch, heads, tokens, channels]`` before QKᵀ, without the factor 1/√channels.
        value: like them, before PV.
        softmax: the probabilities P, 0 to 1.
    """

    query: Operand
    key: Operand
    value: Operand
    softmax: Operand

    @property
    def active(self) -> bool:
        """Whether any operand is quantized at the moment."""
        return any(getattr(getattr(self, role), "active", True) for role in ROLES)


def attentions(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the name and module of each attention whose products a processor computes."""
    for name, module in model.named_modules():
        if attends(module) and not isinstance(module, nn.MultiheadAttention):
            yield name, module


def sites(name: str) -> dict[str, str]:
    """Return what the operands of an attention are called, by role.

    >>> sites("mid.attn")["softmax"]
    'mid.attn:softmax'
    """
    return {role: f"{name}:{role}" for role in ROLES}


class AttentionInterception:
    """An attention's ``forward`` in which ``scaled_dot_product_attention`` becomes two products of quantized operands.

    Args:
        module: an attention of diffusers whose processor calls ``scaled_dot_product_attention``.
        operands: maps each operand; where none is active, torch's own kernel runs.
        name: of the module, for errors.

    Attributes:
        product: computes both products in place of torch; None for torch's.

    Raises:
        FpsimError: its operands are quantized already.
    """

    def __init__(self, module: Any, operands: AttentionOperands, name: str) -> None:
        self.module, self.operands, self.name = module, operands, name
        self.before = vars(module).get("forward")
        self.product: Multiply | None = None
        if isinstance(self.before, AttentionInterception):
            raise FpsimError(f"attention {name!r} is quantized already; remove the other handle first")
        module.forward = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        original = self.before if self.before is not None else type(self.module).forward.__get__(self.module)
        if not self.operands.active:
            return original(*args, **kwargs)
        with _Products(self):
            return original(*args, **kwargs)

    def undo(self) -> None:
        """Give the module its forward back."""
        if self.before is None:
            vars(self.module).pop("forward", None)
        else:
            self.module.forward = self.before


class _Products(TorchFunctionMode):
    """Replaces the fused attention of torch; other calls pass."""

    def __init__(self, interception: AttentionInterception) -> None:
        super().__init__()
        self.of, self.calls = interception, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            self.calls += 1
            return attention_product(self.of.operands, *args, **{**(kwargs or {}), "multiply": self.of.product})
        return func(*args, **(kwargs or {}))

    def __exit__(self, kind: Any, *error: Any) -> None:
        super().__exit__(kind, *error)  # type: ignore[no-untyped-call]
        if kind is None and not self.calls:
            raise FpsimError(
                f"attention {self.of.name!r} does not call scaled_dot_product_attention, so its operands cannot be "
                "quantized; set the processor AttnProcessor2_0, or leave attention in full precision"
            )


def attention_product(
    operands: AttentionOperands,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    multiply: Multiply | None = None,
) -> Tensor:
    """Return ``softmax(QKᵀ / √d + mask) V`` with quantized Q, K, V and softmax output.

    Args:
        operands: what quantizes each of the four.
        query, key, value: ``[…, tokens, channels]``.
        attn_mask: booleans (True takes part) or numbers to add.
        dropout_p, is_causal, scale, enable_gqa: as torch's ``scaled_dot_product_attention`` has them.
        multiply: computes both products; None for torch.
    """
    multiply = multiply or _matmul
    q, k, v = (
        _own(operand(x), x)
        for operand, x in zip((operands.query, operands.key, operands.value), (query, key, value), strict=True)
    )
    if enable_gqa:
        k, v = (part.repeat_interleave(q.shape[-3] // part.shape[-3], -3) for part in (k, v))
    scores = multiply(("query", "key"), q, k.transpose(-2, -1))
    scores = scores * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        masked = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if masked else scores + attn_mask
    probabilities = operands.softmax(torch.softmax(scores, dim=-1))
    if dropout_p:  # training: what dropout leaves is no value of the format
        return F.dropout(probabilities, dropout_p) @ v
    return multiply(("softmax", "value"), probabilities, v)


def _own(rounded: Tensor, source: Tensor) -> Tensor:
    """A rounded operand in memory of its own: what an operand returns lasts until the next one rounds."""
    return rounded if rounded is source or rounded.requires_grad else rounded.clone()


def _matmul(_roles: tuple[str, str], a: Tensor, b: Tensor) -> Tensor:
    return a @ b
