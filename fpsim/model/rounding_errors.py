"""Errors that formats make in a layer's operands, in full-precision runs: plain, and weighted by gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fpsim.model.intercept import Interception
from fpsim.model.layers import without_fused_layers
from fpsim.model.undo import restored

Operand = Callable[[Tensor], Tensor]
#: For each layer, what quantizes its input in each format; None leaves it alone.
Operands = Mapping[str, Sequence[Operand | None]]
#: Values that are squared in float64 at once: what a layer takes does not grow with it.
_PIECE = 1 << 20


def weight_error(weight: Tensor, rounded: Tensor) -> tuple[float, float]:
    """Return Σ w² and Σ (w − ŵ)², in float64."""
    exact = weight.detach().double()
    return _energy(exact), _energy(exact - rounded.detach().double())


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

    with restored(_put(model, {name: (observe(name), None) for name in found})), torch.no_grad():
        for at[0], call in enumerate(calls):
            call()
    return found


class SquaredGradients:
    """Errors of a model's operands, weighted by squared gradients of a random combination of its outputs.

    For an output f and z ~ N(0, 1) of its shape, the gradient of ⟨z, f⟩ has the expected square diag(JᵀJ), the
    diagonal of the Fisher matrix of a Gaussian around f: what an independent small error in that place adds to ‖Δf‖².

    A gradient is used as soon as it is there and then freed, so that nothing of the model's size is kept: beside what
    the model keeps for its own backward pass, the gradient and one rounding of one operand at a time.

    Args:
        model: any module.
        weights: for each layer what rounds its weight in each format, which must keep no rounding itself; None leaves
            it alone.

    Attributes:
        weights: a row ``[1 + formats]`` by layer, over all calls: Σ g² w², then Σ g² (w − ŵ)² of each format, where g
            is the gradient of one call.
        inputs: a row ``[1 + formats]`` a call, by layer: Σ g² x², then Σ g² (x − x̂)² of each format.
        outputs: Σ f² of each call.
    """

    def __init__(self, model: nn.Module, weights: Operands) -> None:
        self.model, self._formats = model, weights
        self.weights = {name: np.zeros(1 + len(formats)) for name, formats in weights.items()}
        self.inputs: dict[str, list[NDArray[np.float64]]] = {}
        self.outputs: list[float] = []

    def run(self, call: Callable[[], Tensor], seed: int, operands: Operands) -> None:
        """Run one call, which returns the model's output, and add what its gradients say.

        Args:
            call: runs the model once.
            seed: of z.
            operands: what quantizes the inputs in this call; empty for weights alone.
        """
        for name, formats in operands.items():
            self.inputs.setdefault(name, []).append(np.zeros(1 + len(formats)))
        taps = {
            name: (
                _input_tap(operands[name], self.inputs[name][-1]) if name in operands else None,
                _weight_tap(self._formats[name], self.weights[name]) if name in self._formats else None,
            )
            for name in {**operands, **self._formats}
        }
        with restored([*_put(self.model, taps), *_frozen(self.model)]), torch.enable_grad():
            output = call()
            z = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed)).to(output)
            (z * output).sum().backward()  # type: ignore[no-untyped-call]
        self.outputs.append(_energy(output.detach().double()))


def _weight_tap(formats: Sequence[Operand | None], row: NDArray[np.float64]) -> Operand:
    """What passes a weight on and adds the errors of its formats to a row once its gradient is there."""

    def take(x: Tensor) -> Tensor:
        return _leaf(x, formats, row)

    return take


def _input_tap(formats: Sequence[Operand | None], row: NDArray[np.float64]) -> Operand:
    """The same for an input, whose gradient goes on to what is before it."""

    def take(x: Tensor) -> Tensor:
        if not x.requires_grad:
            return _leaf(x, formats, row)
        exact = x.detach()  # not x itself: its own hook would keep it alive
        x.register_hook(lambda gradient: _add(row, exact, gradient, formats))  # type: ignore[no-untyped-call]
        return x

    return take


def _leaf(x: Tensor, formats: Sequence[Operand | None], row: NDArray[np.float64]) -> Tensor:
    """A tensor of the same values, before which no gradient goes."""

    def use(leaf: Tensor) -> None:
        assert leaf.grad is not None, "it was just computed"
        _add(row, leaf.detach(), leaf.grad, formats)
        leaf.grad = None

    leaf = x.detach().requires_grad_()
    leaf.register_post_accumulate_grad_hook(use)  # type: ignore[no-untyped-call]
    return leaf


def _add(row: NDArray[np.float64], exact: Tensor, gradient: Tensor, formats: Sequence[Operand | None]) -> None:
    with torch.no_grad():
        row[0] += _weighted(gradient, exact)
        for number, operand in enumerate(formats, 1):
            if operand is not None:
                row[number] += _weighted(gradient, exact, operand(exact))


def _weighted(gradient: Tensor, exact: Tensor, rounded: Tensor | None = None) -> float:
    """Σ g² (x − x̂)², or Σ g² x² without a rounding, in float64, piece by piece."""
    total = torch.zeros((), dtype=torch.float64, device=exact.device)
    rows = max(1, _PIECE * len(exact) // max(1, exact.numel()))
    for start in range(0, len(exact), rows):
        piece = slice(start, start + rows)  # of the first axis: a view, whatever the memory format
        error = exact[piece].double()
        if rounded is not None:
            error -= rounded[piece]
        total += error.mul_(gradient[piece]).square_().sum()
    return float(total)


def _frozen(model: nn.Module) -> list[Callable[[], None]]:
    """Let no parameter take a gradient; return what undoes it."""
    taking = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def take(on: bool) -> None:
        for parameter in taking:
            parameter.requires_grad_(on)

    take(False)
    return [lambda: take(True)]


def _energy(x: Tensor) -> float:
    return float(x.square().sum())


def _put(model: nn.Module, operands: Mapping[str, tuple[Operand | None, Operand | None]]) -> list[Callable[[], None]]:
    modules = dict(model.named_modules())
    undo = without_fused_layers(model)
    return undo + [Interception(modules[name], acts, weights).undo for name, (acts, weights) in operands.items()]
