"""Errors that formats make in a layer's operands, in full-precision runs: of weights, of inputs, and as gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fpsim.model.intercept import Interception
from fpsim.model.layers import without_fused_layers

Operand = Callable[[Tensor], Tensor]
#: For each layer, what quantizes its input in each format; None leaves it alone.
Operands = Mapping[str, Sequence[Operand | None]]


def weight_error(weight: Tensor, rounded: Tensor, squared_gradient: Tensor | None = None) -> tuple[float, float]:
    """Return Σ w² and Σ (w − ŵ)², or Σ g² (w − ŵ)² where squared gradients are given, in float64."""
    exact = weight.detach().double()
    error = (exact - rounded.detach().double()).square()
    if squared_gradient is not None:
        error *= squared_gradient
    return float(exact.square().sum()), float(error.sum())


def input_errors(
    model: nn.Module, operands: Sequence[Operands], calls: Sequence[Callable[[], Any]]
) -> dict[str, NDArray[np.float64]]:
    """Run a model in full precision and return the energy of each layer's input, and of each format's error in it.

    Args:
        model: any module; not quantized.
        operands: for each call what quantizes the input of each layer in each format; None leaves it alone.
        calls: functions that run the model once each.

    Returns:
        float64 ``[calls, 1 + formats]`` a layer: Σ x², then Σ (x − x̂)² of each format.
    """
    found = {name: np.zeros((len(calls), 1 + len(formats))) for name, formats in operands[0].items()}
    at = [0]

    def observe(name: str) -> Operand:
        def see(x: Tensor) -> Tensor:
            exact = x.detach().double()
            errors = [_energy(exact - o(x).double()) if o else 0.0 for o in operands[at[0]][name]]
            found[name][at[0]] += [_energy(exact), *errors]
            return x

        return see

    undo = _put(model, {name: (observe(name), None) for name in found})
    try:
        with torch.no_grad():
            for at[0], call in enumerate(calls):
                call()
    finally:
        _take_off(undo)
    return found


class SquaredGradients:
    """Squares of the gradients of a random combination of a model's outputs, by layer.

    For an output f and z ~ N(0, 1) of its shape, the gradient of ⟨z, f⟩ has the expected square diag(JᵀJ), the
    diagonal of the Fisher matrix of a Gaussian around f: what an independent small error in that place adds to ‖Δf‖².

    Args:
        model: any module.
        weights: layers whose squared gradients of weights are summed.

    Attributes:
        weights: float64 sums of g² over calls, by layer.
        inputs: a row ``[1 + formats]`` a call, by layer, as :func:`input_errors`, but Σ g² x² and Σ g² (x − x̂)².
        outputs: Σ f² of each call.
    """

    def __init__(self, model: nn.Module, weights: Sequence[str]) -> None:
        self.model = model
        self.weights: dict[str, Tensor | None] = dict.fromkeys(weights)
        self.inputs: dict[str, list[NDArray[np.float64]]] = {}
        self.outputs: list[float] = []
        self._taken: list[tuple[str, bool, Tensor]] = []

    def run(self, call: Callable[[], Tensor], seed: int, operands: Operands) -> None:
        """Run one call, which returns the model's output, and add its gradients.

        Args:
            call: runs the model once.
            seed: of z.
            operands: what quantizes the inputs in this call; empty for weights alone.
        """
        taps = {
            name: (self._tap(name, False) if name in operands else None, self._tap(name, True))
            for name in {**operands, **self.weights}
        }
        undo = _put(self.model, taps)
        self._taken = []
        try:
            with torch.enable_grad():
                output = call()
                z = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed)).to(output)
                gradients = torch.autograd.grad((z * output).sum(), [x for *_, x in self._taken], allow_unused=True)
        finally:
            _take_off(undo)
        self.outputs.append(_energy(output.detach().double()))
        self._add(gradients, operands)
        self._taken = []

    def _tap(self, name: str, weight: bool) -> Operand | None:
        if weight and name not in self.weights:
            return None

        def take(x: Tensor) -> Tensor:
            leaf = x.detach().requires_grad_() if weight or not x.requires_grad else x
            self._taken.append((name, weight, leaf))
            return leaf

        return take

    def _add(self, gradients: Sequence[Tensor | None], operands: Operands) -> None:
        for name, formats in operands.items():
            self.inputs.setdefault(name, []).append(np.zeros(1 + len(formats)))
        with torch.no_grad():
            for (name, weight, x), gradient in zip(self._taken, gradients, strict=True):
                square = torch.zeros_like(x).double() if gradient is None else gradient.double().square()
                if weight:
                    before = self.weights[name]
                    self.weights[name] = square if before is None else before.add_(square)
                    continue
                exact = x.detach().double()
                signal = float((square * exact.square()).sum())
                errors = [
                    float((square * (exact - operand(x.detach()).double()).square()).sum()) if operand else 0.0
                    for operand in operands[name]
                ]
                self.inputs[name][-1] += [signal, *errors]


def _energy(x: Tensor) -> float:
    return float(x.square().sum())


def _put(model: nn.Module, operands: Mapping[str, tuple[Operand | None, Operand | None]]) -> list[Callable[[], None]]:
    modules = dict(model.named_modules())
    undo = without_fused_layers(model)
    return undo + [Interception(modules[name], acts, weights).undo for name, (acts, weights) in operands.items()]


def _take_off(undo: list[Callable[[], None]]) -> None:
    for restore in reversed(undo):
        restore()
