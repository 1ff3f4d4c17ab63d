"""What quantization does to each layer: errors of its weight, its input and its output."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.measure.tensor import sqnr_of_energies
from fpsim.model.attach import Handle


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerStats:
    """Measurements of a quantized layer; None where nothing was quantized or the layer did not run.

    SQNR in decibels (``inf``: no error); sparsity is the fraction of exact zeros after rounding. The output's
    error is that of the whole quantized network up to and including the layer, at the full-precision latents.
    """

    name: str
    kind: str
    weights: str | None
    acts: str | None
    weight_count: int
    weight_sqnr_db: float | None
    weight_sparsity: float | None
    act_sqnr_db: float | None
    act_sparsity: float | None
    output_sqnr_db: float | None


@dataclass
class _Sums:
    """Energies of a signal and of its error, and zeros, over any number of tensors."""

    signal: float = 0.0
    noise: float = 0.0
    zeros: int = 0
    count: int = field(default=0)

    def add(self, exact: Tensor, rounded: Tensor) -> None:
        reference, approximation = exact.detach().double(), rounded.detach().double()
        self.signal += float(reference.square().sum())
        self.noise += float((reference - approximation).square().sum())
        self.zeros += int((approximation == 0).sum())
        self.count += approximation.numel()

    @property
    def sqnr_db(self) -> float | None:
        return sqnr_of_energies(self.signal, self.noise) if self.count else None

    @property
    def sparsity(self) -> float | None:
        return self.zeros / self.count if self.count else None


def measure_layers(model: nn.Module, handle: Handle, calls: Sequence[Callable[[], Any]]) -> list[LayerStats]:
    """Run a quantized model in full precision and quantized on the same inputs, and compare layer by layer.

    Args:
        model: the model that ``handle`` quantizes.
        handle: from ``fpsim.quantize_``.
        calls: functions that run the model once each; their inputs must not depend on the model.

    Returns:
        The quantized layers in the order in which they first ran; those that did not run come last.
    """
    names = [layer.name for layer in handle.coverage.quantized]
    inputs, outputs = {name: _Sums() for name in names}, {name: _Sums() for name in names}
    order: dict[str, None] = {}
    for name, operand in handle.acts.items():
        operand.watch = inputs[name].add
    try:
        with torch.no_grad():
            for call in calls:
                _compare(model, handle, call, outputs, order)
    finally:
        for operand in handle.acts.values():
            operand.watch = None
    layers = {layer.name: layer for layer in handle.coverage.quantized}
    ordered = [*order, *(name for name in names if name not in order)]
    return [_stats(layers[name], handle, inputs[name], outputs[name]) for name in ordered]


def _compare(
    model: nn.Module, handle: Handle, call: Callable[[], Any], outputs: dict[str, _Sums], order: dict[str, None]
) -> None:
    exact: dict[str, list[Tensor]] = {name: [] for name in outputs}

    def keep(name: str, result: Tensor) -> None:
        order.setdefault(name)
        exact[name].append(result.clone())  # what follows may write into the result

    def compare(name: str, result: Tensor) -> None:
        if exact[name]:
            outputs[name].add(exact[name].pop(0), result)

    with handle.bypass(), _hooked(model, outputs, keep):
        call()
    with _hooked(model, outputs, compare):
        call()


@contextlib.contextmanager
def _hooked(model: nn.Module, names: Iterable[str], function: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Give each named layer's output to a function."""
    modules = dict(model.named_modules())

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def give(_module: nn.Module, _inputs: Any, result: Any) -> None:
            if isinstance(result, Tensor):
                function(name, result)

        return give

    hooks = [modules[name].register_forward_hook(hook(name)) for name in names]
    try:
        yield
    finally:
        for each in hooks:
            each.remove()


def _stats(layer: Any, handle: Handle, inputs: _Sums, outputs: _Sums) -> LayerStats:
    weight = _Sums()
    operand = handle.weights.get(layer.name)
    if operand is not None and operand.source is not None and operand.rounded is not None:
        weight.add(operand.source, operand.rounded)
    return LayerStats(
        name=layer.name,
        kind=layer.kind,
        weights=layer.weights,
        acts=layer.acts,
        weight_count=weight.count,
        weight_sqnr_db=weight.sqnr_db,
        weight_sparsity=weight.sparsity,
        act_sqnr_db=inputs.sqnr_db,
        act_sparsity=inputs.sparsity,
        output_sqnr_db=outputs.sqnr_db,
    )
