"""Weights whose scales a policy gives: nothing is fitted, whatever the weight holds."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fpsim.model.operands import WeightOperand
from fpsim.quant.quantizer import Quantizer


class GivenScalesWeight(WeightOperand):
    """Quantizes a layer's weight with the scales that the quantizer has from the start.

    Args:
        quantizer: with scales.
    """

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__(quantizer, refit=False)

    def forget(self, *_: Any) -> None:
        """Round the next weight afresh, with the same scales: another one was loaded."""
        self._seen = None


def operand(quantizer: Quantizer, *, refit: bool) -> WeightOperand:
    """Return what quantizes a weight: with the quantizer's scales where it has some, otherwise with fitted ones."""
    return WeightOperand(quantizer, refit=refit) if quantizer.scales is None else GivenScalesWeight(quantizer)


def width(weight: Tensor) -> int:
    """Return the bits of the type in which a weight is rounded."""
    return max(32, weight.element_size() * 8)
