"""Attach quantizers to a model's layers, and take them off again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from fpsim.errors import FpsimError
from fpsim.model.coverage import Coverage, Layer, Left
from fpsim.model.intercept import intercept
from fpsim.model.layers import axes, is_stock, quantizable
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.samples import Calibration, LayerSample, collect
from fpsim.number import BlockFormat, IntFormat
from fpsim.quant.granularity import PerBlock, PerChannel, parse
from fpsim.quant.policy import Policy, Rule, TensorSpec
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scales import fit


class Handle:
    """A quantized model's other end: what was applied, and the way back.

    Attributes:
        coverage: each layer and what was applied to it, and what was left alone.
        acts: the operands that quantize inputs, by layer.
        weights: the operands that quantize weights, by layer.
    """

    def __init__(
        self,
        coverage: Coverage,
        acts: Mapping[str, ActivationOperand],
        weights: Mapping[str, WeightOperand],
        undo: list[Callable[[], None]],
    ) -> None:
        self.coverage, self.acts, self.weights, self._undo = coverage, acts, weights, undo

    @contextlib.contextmanager
    def bypass(self) -> Iterator[None]:
        """Let the model compute in full precision inside a ``with`` block."""
        operands = [*self.acts.values(), *self.weights.values()]
        for operand in operands:
            operand.active = False
        try:
            yield
        finally:
            for operand in operands:
                operand.active = True

    def remove(self) -> None:
        """Restore the model bit for bit; a second call does nothing."""
        while self._undo:
            self._undo.pop()()

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


def quantize_(
    model: nn.Module,
    policy: Policy,
    calibration: Calibration | Mapping[str, LayerSample] | None = None,
    *,
    backend: str | None = None,
) -> Handle:
    """Let a model's convolutions and linear layers compute with quantized weights and inputs, in place.

    The parameters themselves stay as they are; weights are rounded once and again when they change. Norms,
    activation functions and everything else stay in full precision.

    Args:
        model: any module.
        policy: which layer gets which format.
        calibration: for static activation scales: a function that runs the model, an iterable of its inputs
            (tensors, tuples or dicts), or samples from :func:`fpsim.model.samples.collect`. None makes activation
            scales dynamic: the largest magnitude of each sample.
        backend: who rounds: ``numba``, ``numpy``, ``torch`` or a registered name.

    Returns:
        The handle: ``handle.coverage``, ``handle.remove()``; also a context manager.

    Raises:
        FpsimError: a rule that matches no layer, NaN in a weight, a layer that the calibration did not run.
    """
    layers = dict(quantizable(model))
    rules = policy.resolve(layers)
    samples = _samples(model, rules, calibration)
    weights = {
        name: _weight_operand(name, layers[name], rule.weights, backend) for name, rule in rules.items() if rule.weights
    }
    acts = {
        name: ActivationOperand(_activation(name, layers[name], rule.acts, samples, backend))
        for name, rule in rules.items()
        if rule.acts
    }
    touched = [name for name in layers if name in acts or name in weights]
    undo = [intercept(layers[name], acts.get(name), weights.get(name)) for name in touched]
    quantizers = {name: operand.quantizer for name, operand in acts.items()}
    return Handle(_coverage(model, rules, quantizers), acts, weights, undo)


def _samples(model: nn.Module, rules: Mapping[str, Rule], calibration: Any) -> Mapping[str, LayerSample] | None:
    if calibration is None or not any(rule.acts for rule in rules.values()):
        return None
    if isinstance(calibration, Mapping):
        return calibration
    return collect(model, calibration)


def _weight_operand(name: str, module: nn.Module, spec: TensorSpec, backend: str | None) -> WeightOperand:
    what, stock = f"{name}.weight", is_stock(module)
    granularity = parse(spec.granularity)
    if isinstance(granularity, PerChannel):
        granularity = PerChannel(axes(module).out)
    elif isinstance(granularity, PerBlock):
        granularity = PerBlock(granularity.size, axes(module).into)
    if isinstance(spec.format, BlockFormat):
        granularity = PerBlock(spec.format.block, axes(module).into)
    for key, tensor in module.named_parameters():
        if not torch.isfinite(tensor).all():
            raise FpsimError(f"{name}.{key} holds NaN or Inf; the model's weights are damaged, or skip the layer")
    dynamic = isinstance(granularity, PerBlock)
    operand = WeightOperand(
        Quantizer(spec.format, granularity, spec.scale, backend=backend, name=what),
        refit=not stock and not dynamic,
    )
    if stock:
        operand(module.weight)  # round now: errors name the layer here, and the first forward is as fast as the others
    return operand


def _activation(
    name: str, module: nn.Module, spec: TensorSpec, samples: Mapping[str, LayerSample] | None, backend: str | None
) -> Quantizer:
    what, fmt = f"the input of {name}", spec.format
    granularity = parse(spec.granularity)
    if isinstance(fmt, BlockFormat) or isinstance(granularity, PerBlock):
        size = fmt.block if isinstance(fmt, BlockFormat) else parse(spec.granularity).size  # type: ignore[union-attr]
        return Quantizer(fmt, PerBlock(size, axes(module).acts), spec.scale, backend=backend, name=what)
    if samples is None:
        return Quantizer(fmt, PerChannel(0), dynamic_rule(spec.scale), backend=backend, name=what)
    if name not in samples:
        raise FpsimError(f"the calibration never ran layer {name!r}, so its activations have no scale; skip it or run it")
    scales = fit(samples[name].values.reshape(1, -1), fmt, spec.scale, name=what)
    return Quantizer(fmt, scale=spec.scale, scales=scales, backend=backend, name=what)


def dynamic_rule(rule: str) -> str:
    """The rule of scales that are found at each call: ``mse`` would cost 111 roundings, so it becomes ``max``."""
    return "max" if rule == "mse" else rule


def _coverage(model: nn.Module, rules: Mapping[str, Rule], acts: Mapping[str, Quantizer]) -> Coverage:
    quantized, left = [], []
    for name, module in model.named_modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        rule = rules.get(name)
        if rule is not None and (rule.weights or rule.acts):
            quantized.append(_layer(name, module, rule, acts.get(name), own))
        elif rule is not None:
            left.append(Left(name=name, kind=type(module).__name__, parameters=own, reason=f"rule {rule.match!r}"))
        elif own or not any(True for _ in module.children()):
            reason = "not a convolution or linear layer: full precision"
            left.append(Left(name=name, kind=type(module).__name__, parameters=own, reason=reason))
    return Coverage(tuple(quantized), tuple(left))


def _layer(name: str, module: Any, rule: Rule, act: Quantizer | None, own: int) -> Layer:
    bits, rest = 0.0, own
    weight = getattr(module, "weight", None)
    if rule.weights is not None and isinstance(weight, torch.Tensor):
        bits, rest = weight_bits(weight, rule.weights, axes(module).into, axes(module).out), own - weight.numel()
    mode = ""
    if act is not None and not isinstance(act.granularity, PerBlock):
        mode = " (static)" if act.scales is not None else f" (dynamic per sample, {act.scale})"
    return Layer(
        name=name,
        kind=type(module).__name__,
        parameters=max(rest, 0),
        weights=str(rule.weights) if rule.weights else None,
        acts=f"{rule.acts}{mode}" if rule.acts else None,
        weight_bits=bits,
    )


def weight_bits(weight: torch.Tensor, spec: TensorSpec, into: int, out: int) -> float:
    """Bits of a weight in its format, with its scales (float32 unless the format has its own) and zero points."""
    count, fmt = weight.numel(), spec.format
    runs = count // max(1, weight.shape[into])
    if isinstance(fmt, BlockFormat):
        blocks = runs * -(-weight.shape[into] // fmt.block)
        return count * fmt.element.bits + blocks * fmt.scale.bits + 32 * fmt.tensor_scale
    granularity = parse(spec.granularity)
    scales = 1
    if isinstance(granularity, PerChannel):
        scales = weight.shape[out]
    elif isinstance(granularity, PerBlock):
        scales = runs * -(-weight.shape[into] // granularity.size)
    each = 32 + (fmt.bits if isinstance(fmt, IntFormat) and not fmt.signed else 0)
    return float(count * fmt.bits + scales * each)


