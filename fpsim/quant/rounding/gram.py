"""What a layer's inputs were, as far as its output error depends on them: Gram matrices of its columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fpsim.errors import FpsimError
from fpsim.quant.rounding.columns import Geometry, columns


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gram:
    """Sums over all columns that a layer multiplied; ``a + b`` is the Gram matrix of both sets of inputs.

    With X̂ the columns that the layer sees and X those that it saw in full precision (the same unless ``cross`` is
    given), one for each group of input channels:

    Args:
        hessian: ``X̂ X̂ᵀ``, float64 ``[groups, K, K]``.
        cross: ``X X̂ᵀ``, or None where X̂ is X.
        target: ``X Xᵀ``, or None where X̂ is X.
        count: how many columns.
    """

    hessian: Tensor
    cross: Tensor | None
    target: Tensor | None
    count: int

    def __add__(self, other: Gram) -> Gram:
        if self.hessian.shape != other.hessian.shape or (self.cross is None) != (other.cross is None):
            raise FpsimError("these Gram matrices belong to different layers; add those of one layer")
        return Gram(
            hessian=self.hessian + other.hessian,
            cross=_sum(self.cross, other.cross),
            target=_sum(self.target, other.target),
            count=self.count + other.count,
        )


class GramSum:
    """Adds up a layer's Gram matrix over the batches of a calibration; its memory does not grow with them.

    Products are computed in the type of the inputs (16-bit ones in float32) and added in float64.

    Args:
        how: the layer's geometry.
    """

    def __init__(self, how: Geometry) -> None:
        self.how, self.count = how, 0
        self._sums: list[Tensor] = []

    def add(self, x: Tensor, exact: Tensor | None = None) -> None:
        """Add a batch of inputs.

        Args:
            x: what enters the layer.
            exact: what enters it in full precision, where that differs; give it always or never.
        """
        if exact is None:
            for seen in columns(_wide(x), self.how):
                self._add(seen.shape[-1], seen @ seen.mT)
            return
        for seen, wanted in zip(columns(_wide(x), self.how), columns(_wide(exact), self.how), strict=True):
            self._add(seen.shape[-1], seen @ seen.mT, wanted @ seen.mT, wanted @ wanted.mT)

    def _add(self, count: int, *products: Tensor) -> None:
        self.count += count
        if not self._sums:
            self._sums = [torch.zeros_like(p, dtype=torch.float64) for p in products]
        if len(self._sums) != len(products):
            raise FpsimError("inputs in full precision must be given with every batch or with none")
        for total, product in zip(self._sums, products, strict=True):
            total += product

    def result(self) -> Gram:
        """Return the Gram matrix so far.

        Raises:
            FpsimError: nothing was added, or the inputs hold NaN or Inf.
        """
        if not self._sums:
            raise FpsimError("no input was added to the Gram matrix; run the layer first")
        if not all(torch.isfinite(total).all() for total in self._sums):
            raise FpsimError("NaN or Inf entered the layer in calibration; run the model in a wider dtype")
        cross, target = self._sums[1:] or (None, None)
        return Gram(hessian=self._sums[0], cross=cross, target=target, count=self.count)


def gram_bytes(inputs: int, groups: int = 1, *, crossed: bool = False) -> int:
    """Return the memory of a Gram matrix whose groups have ``inputs`` columns' entries each."""
    return (3 if crossed else 1) * groups * inputs * inputs * 8


def _wide(x: Tensor) -> Tensor:
    return x.detach() if x.dtype in (torch.float32, torch.float64) else x.detach().float()


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return None if a is None or b is None else a + b
