"""A layer's output error as an exact quadratic form of its weight's error."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.gram import Gram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quadratic:
    """``‖Ŵ X̂ − W X‖²`` for E = Ŵ − W: tr(E H Eᵀ) + 2 ⟨E, L⟩ + constant, whatever the number of samples.

    With D = X̂ − X the output error is E X̂ + W D; so H = X̂ X̂ᵀ, L = W D X̂ᵀ and the constant is ‖W D‖².
    Rows of E (output channels) do not depend on each other.

    Args:
        hessian: H, ``[groups, K, K]``, symmetric.
        linear: L, ``[groups, rows, K]``, or None for zeros.
        constant: for each row, ``[groups, rows, 1]`` float64.
        count: how many columns X̂ has.
    """

    hessian: Tensor
    linear: Tensor | None
    constant: Tensor
    count: int

    def gradient(self, error: Tensor) -> Tensor:
        """Return half the gradient, ``E H + L``; E is ``[groups, rows, K]``."""
        product = error @ self.hessian
        return product if self.linear is None else product + self.linear

    def variable(self, error: Tensor, gradient: Tensor) -> Tensor:
        """The squared error without the constant, given :meth:`gradient` of the same E: a scalar."""
        return (error * (gradient if self.linear is None else gradient + self.linear)).sum()

    def rows(self, error: Tensor) -> Tensor:
        """Return the squared error of each row, ``[groups, rows]``, in float64 where the form is."""
        form = error * (error @ self.hessian)
        if self.linear is not None:
            form = form + 2 * error * self.linear
        return form.sum(dim=-1) + self.constant[..., 0]

    def to(self, dtype: torch.dtype) -> Quadratic:
        """Return the form in another type, for iterations; the constant stays."""
        linear = None if self.linear is None else self.linear.to(dtype)
        return Quadratic(hessian=self.hessian.to(dtype), linear=linear, constant=self.constant, count=self.count)


def quadratic(gram: Gram, weight: Tensor) -> Quadratic:
    """Return the quadratic form of a layer.

    Args:
        gram: of its inputs.
        weight: in full precision, ``[outputs, …]``.
    """
    groups = len(gram.hessian)
    matrices = as_matrices(weight.detach().double(), groups).to(gram.hessian.device)
    zeros = torch.zeros_like(matrices[..., :1])
    if gram.cross is None or gram.target is None:
        return Quadratic(hessian=gram.hessian, linear=None, constant=zeros, count=gram.count)
    linear = matrices @ (gram.hessian - gram.cross)
    drift = gram.hessian - gram.cross - gram.cross.mT + gram.target
    constant = (matrices * (matrices @ drift)).sum(dim=-1, keepdim=True).clamp_(min=0)
    return Quadratic(hessian=gram.hessian, linear=linear, constant=constant, count=gram.count)


def mean_squared_error(form: Quadratic, error: Tensor) -> float:
    """Return equation 11: the mean squared error of the output's values, for a weight error ``[groups, rows, K]``."""
    groups, rows, _ = error.shape
    return max(float(form.rows(error.double()).sum()), 0.0) / max(form.count * groups * rows, 1)
