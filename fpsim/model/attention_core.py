"""The two products of quantized attention on a tensor core; masks and softmax stay in FP32."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.model.arithmetic import Arithmetic
from fpsim.model.attention import AttentionOperands
from fpsim.model.factors import factors
from fpsim.model.operand_types import Choice, choose
from fpsim.model.operands import ActivationOperand
from fpsim.quant.granularity import PerTensor
from fpsim.quant.quantizer import Quantizer
from fpsim.tensorcore.attention import batched_matmul
from fpsim.tensorcore.unit import TensorCore

#: The operands of each product.
PRODUCTS = (("query", "key"), ("softmax", "value"))


class CoreAttention:
    """Stands for the products of one attention.

    Args:
        operands: of the attention, each with one fixed scale.
        arithmetic: the tensor core.
        name: of the attention.

    Raises:
        FpsimError: operands with other scales, or that no type of the architecture holds.
    """

    def __init__(
        self,
        operands: AttentionOperands,
        arithmetic: Arithmetic,
        name: str,
    ) -> None:
        self.operands = operands
        self.choices: dict[tuple[str, str], Choice] = {}
        self.cores: dict[tuple[str, str], TensorCore] = {}
        for roles in PRODUCTS:
            first, second = (self._quantizer(role, name) for role in roles)
            where = f"attention {name!r} ({' × '.join(roles)})"
            choice = choose(arithmetic, first.format, second.format, where)
            self.choices[roles] = choice
            self.cores[roles] = choice.core(arithmetic.promote_every)

    @property
    def described(self) -> dict[str, str]:
        """The operand types and the instruction, by product."""
        return {"×".join(roles): str(choice) for roles, choice in self.choices.items()}

    def __call__(self, roles: tuple[str, str], a: Tensor, b: Tensor) -> Tensor:
        """Return the product of two operands that are quantized already, ``[…, M, K]`` and ``[…, K, N]``."""
        choice = self.choices[roles]
        first, second = (
            factors(part, part, self._quantizer(role, ""), shift, codes=codes)
            for role, part, shift, codes in zip(roles, (a, b), choice.shifts, choice.codes, strict=True)
        )
        scale = np.float32(first.scale.item()) * np.float32(second.scale.item())
        grids, zeros = (first.grid.values, second.grid.values), (first.grid.zero, second.grid.zero)
        return batched_matmul(*grids, float(scale), core=self.cores[roles], zeros=zeros).to(a)

    def _quantizer(self, role: str, name: str) -> Quantizer:
        operand = getattr(self.operands, role)
        quantizer = operand.quantizer if isinstance(operand, ActivationOperand) else None
        if quantizer is None or quantizer.scales is None or not isinstance(quantizer.granularity, PerTensor):
            raise FpsimError(f"attention {name!r}: its {role} has no fixed scale, which a tensor core needs; skip it")
        return quantizer
