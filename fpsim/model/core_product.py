"""A layer's product on a tensor core: grid values through the instruction, scales and bias in FP32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.model.arithmetic import Arithmetic
from fpsim.model.factors import Factors, factors, halves, scale_of_product
from fpsim.model.gradients import straight_through
from fpsim.model.operand_types import Choice, choose
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.split import SplitActivation, SplitWeight
from fpsim.number import BlockFormat
from fpsim.quant.granularity import PerBlock
from fpsim.quant.quantizer import Quantizer
from fpsim.tensorcore import layers

_FUNCTIONS: dict[Any, Any] = {F.linear: layers.linear, F.conv1d: layers.conv1d, F.conv2d: layers.conv2d}


class CoreProduct:
    """Stands for ``torch.nn.functional``'s product of one layer.

    The core multiplies grid values; the sum is multiplied by the FP32 product of both operands' scales, then the bias
    is added. A split layer's halves are two such products, and their FP32 sum.

    Args:
        acts, weights: the layer's operands.
        arithmetic: the tensor core.
        where: what errors call the layer.

    Raises:
        FpsimError: operands that no type of the architecture holds; scales that no instruction takes.
    """

    def __init__(
        self,
        acts: ActivationOperand,
        weights: WeightOperand,
        arithmetic: Arithmetic,
        where: str,
    ) -> None:
        self.acts, self.weights = acts, weights
        self.at = _split_at(acts, weights, where)
        pairs = zip(_quantizers(acts), _quantizers(weights), strict=True)
        self.choices = [_choice(each, arithmetic, where) for each in pairs]
        self.cores = [each.core(arithmetic.promote_every) for each in self.choices]
        self._known: tuple[Tensor, list[Factors]] | None = None

    def __str__(self) -> str:
        return " + ".join(dict.fromkeys(map(str, self.choices)))

    @property
    def active(self) -> bool:
        """Whether both operands are quantized at the moment."""
        return self.acts.active and self.weights.active

    def __call__(
        self, func: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any, **kwargs: Any
    ) -> Tensor:
        """Return the layer's product in place of ``func``, differentiable as ``func`` of the quantized operands is."""
        x, w = self.acts(input), self.weights(weight)
        with torch.no_grad():
            result = self._product(func, input, x, bias, *rest, **kwargs).to(x)
        if torch.is_grad_enabled():
            plain = func(x, w, bias, *rest, **kwargs)
            if plain.requires_grad:
                return straight_through(plain, result, torch.ones((), dtype=torch.bool, device=x.device))
        return result

    def _product(self, func: Any, source: Tensor, x: Tensor, bias: Tensor | None, *rest: Any, **kwargs: Any) -> Tensor:
        options = dict(zip(("stride", "padding", "dilation", "groups"), rest, strict=False)) | kwargs
        known = self._weight_factors()
        total: Tensor | None = None
        for place, ((part, rounded), quantizer) in enumerate(
            zip(halves(source, x, self.at, self._axis), _quantizers(self.acts), strict=True)
        ):
            batched = source.ndim > self.acts.single
            choice = self.choices[place]
            a = factors(part, rounded, quantizer, choice.shifts[0], codes=choice.codes[0], batched=batched)
            b, last = known[place], place == len(known) - 1
            product = _FUNCTIONS[func](
                a.grid,
                b.grid,
                bias if last else None,
                scale_of_product(a, b, len(b.grid.values)),
                core=self.cores[place],
                **options,
            )
            total = product if total is None else total + product
        assert total is not None, "at least one part"
        return total

    def _weight_factors(self) -> list[Factors]:
        """Those of the current weight, computed once; kept as long as the operand keeps its rounding."""
        source, rounded = self.weights.source, self.weights.rounded
        assert source is not None, "the operand has rounded"
        assert rounded is not None, "the operand has rounded"
        if self._known is None or self._known[0] is not rounded:
            parts = zip(halves(source, rounded, self.at, 1), _quantizers(self.weights), self.choices, strict=True)
            found = [factors(*pair, q, choice.shifts[1], codes=choice.codes[1]) for pair, q, choice in parts]
            self._known = rounded, found
        return self._known[1]

    @property
    def _axis(self) -> int:
        return self.acts.axis if isinstance(self.acts, SplitActivation) else 1


def _quantizers(operand: ActivationOperand | WeightOperand) -> list[Quantizer]:
    if isinstance(operand, SplitActivation | SplitWeight):
        return [operand.first.quantizer, operand.second.quantizer]
    return [operand.quantizer]


def _split_at(acts: ActivationOperand, weights: WeightOperand, where: str) -> int | None:
    """Where both operands are split; None for whole ones."""
    first, second = (part.at if isinstance(part, SplitActivation | SplitWeight) else None for part in (acts, weights))
    if first != second:
        raise FpsimError(f"{where} is split in one operand only, which no tensor core computes; split neither")
    return first


def _choice(pair: tuple[Quantizer, Quantizer], arithmetic: Arithmetic, where: str) -> Choice:
    for quantizer in pair:
        if isinstance(quantizer.granularity, PerBlock) and not isinstance(quantizer.format, BlockFormat):
            raise FpsimError(
                f"{where} has blocks with scales in full precision, which no instruction takes; "
                "use a block format such as mxfp8, or a scale per tensor or channel"
            )
    return choose(arithmetic, pair[0].format, pair[1].format, where)
