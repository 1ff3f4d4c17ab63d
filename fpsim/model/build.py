"""From a policy's words to the operands of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from fpsim.errors import FpsimError
from fpsim.model.given_scales import operand as given_or_fitted
from fpsim.model.given_scales import width
from fpsim.model.layers import axes, has_plain_weight
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.samples import LayerSample
from fpsim.number import BlockFormat, FloatFormat
from fpsim.number.label import label
from fpsim.quant.biases import fixed_scales
from fpsim.quant.binned import ActBin, BinnedSpec
from fpsim.quant.granularity import Granularity, PerBlock, PerChannel, PerTensor, parse
from fpsim.quant.policy import Rule, TensorSpec
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scales import Scales, fit


def weight_operand(name: str, module: Any, spec: TensorSpec, backend: str | None) -> WeightOperand:
    """Return what quantizes a layer's weight.

    Raises:
        FpsimError: NaN or Inf in a parameter of the layer, or a weight that has no scale.
    """
    what = f"{name}.weight" if name else "weight"
    check_finite(name, module)
    plain = has_plain_weight(module)
    operand = given_or_fitted(weight_quantizer(module, spec, backend, what), refit=not plain)
    if plain:
        operand(module.weight.detach())  # round now: errors come here, and the first forward is as fast as the others
    return operand


def check_finite(name: str, module: Any) -> None:
    """Refuse a layer that cannot be quantized.

    Raises:
        FpsimError: NaN or Inf in a parameter of the layer.
    """
    for key, tensor in module.named_parameters(name):
        if not torch.isfinite(tensor).all():
            raise FpsimError(f"{key} holds NaN or Inf; the model's weights are damaged, or skip the layer")


def weight_quantizer(module: Any, spec: TensorSpec, backend: str | None, name: str) -> Quantizer:
    """Return the quantizer of a layer's weight, without scales unless the policy gives them.

    Args:
        module: the layer.
        spec: format and scales.
        backend: who rounds.
        name: what errors call the weight.

    Raises:
        FpsimError: biases for another number of output channels.
    """
    scales = None
    if spec.biases is not None and isinstance(spec.format, FloatFormat):
        channels = int(module.weight.shape[axes(module).out])
        scales = fixed_scales(spec.format, spec.biases, channels, width(module.weight), name)
    return Quantizer(spec.format, _of_weight(module, spec), spec.scale, scales, backend=backend, name=name)


def _of_weight(module: nn.Module, spec: TensorSpec) -> Granularity:
    granularity = parse(spec.granularity)
    if isinstance(granularity, PerChannel):
        granularity = PerChannel(axes(module).out)
    return _blocks(spec, axes(module).into) or granularity


def _blocks(spec: TensorSpec, axis: int) -> PerBlock | None:
    if isinstance(spec.format, BlockFormat):
        return PerBlock(spec.format.block, axis)
    granularity = parse(spec.granularity)
    return PerBlock(granularity.size, axis) if isinstance(granularity, PerBlock) else None


def activation_operand(
    name: str,
    module: nn.Module,
    spec: TensorSpec,
    samples: Mapping[str, LayerSample] | None,
    backend: str | None,
    value: float | None = None,
) -> ActivationOperand:
    """Return what quantizes a layer's input.

    Args:
        name: of the layer.
        module: the layer.
        spec: format and scales.
        samples: for static scales; None makes them dynamic.
        backend: who rounds.
        value: a fixed scale in place of those.

    Raises:
        FpsimError: the samples do not have the layer, or give no scale.
    """
    what, fmt, where = f"the input of {name or 'the model'}", spec.format, axes(module)
    blocks = _blocks(spec, where.acts)
    if blocks is not None or isinstance(fmt, BlockFormat):
        quantizer = Quantizer(fmt, blocks or PerTensor(), spec.scale, backend=backend, name=what)
    elif value is not None:
        quantizer = Quantizer(
            fmt, scale=spec.scale, scales=Scales(np.array([value], np.float32)), backend=backend, name=what
        )
    elif samples is None:
        quantizer = Quantizer(fmt, PerChannel(0), dynamic_rule(spec.scale), backend=backend, name=what)
    elif name not in samples:
        raise FpsimError(f"the calibration never ran layer {name!r}, so its input has no scale; skip it or run it")
    else:
        scales = fit(samples[name].values.reshape(1, -1), fmt, spec.scale, name=what)
        quantizer = Quantizer(fmt, scale=spec.scale, scales=scales, backend=backend, name=what)
    return ActivationOperand(quantizer, single=where.single)


def dynamic_rule(rule: str) -> str:
    """The rule of scales that are found at each call: ``mse`` would cost 111 roundings, so it becomes ``max``."""
    return "max" if rule == "mse" else rule


def check_whole_blocks(name: str, module: Any, rule: Rule) -> None:
    """Refuse a short last block along a layer's input channels.

    Raises:
        FpsimError: the channels of the weight or of the input are no multiple of the block.
    """
    where = axes(module)
    channels = module.in_features if isinstance(module, nn.Linear) else module.in_channels
    inputs = rule.acts.specs if isinstance(rule.acts, BinnedSpec) else (rule.acts,)
    lengths = (
        (rule.weights, f"{name}.weight", module.weight.shape[where.into]),
        *((spec, f"the input of {name}", channels) for spec in inputs),
    )
    for spec, what, length in lengths:
        blocks = _blocks(spec, 0) if spec is not None else None
        if blocks is not None and length % blocks.size:
            raise FpsimError(
                f"{what} has {length} input channels, which is no multiple of the block of {blocks.size}; "
                f"drop --strict (the short last block has its own scale), or --skip {name!r}"
            )


def describe_acts(spec: TensorSpec | BinnedSpec, *, static: bool) -> str:
    """Return what becomes of a layer's input, in words."""
    if isinstance(spec, BinnedSpec):
        said = [describe_acts(each.spec, static=static) if each.value is None else _fixed(each) for each in spec.bins]
        if spec.uniform:
            return f"{said[0]}, in {spec.count} timestep bins"
        return "; ".join(f"{words} ({each})" for words, each in zip(said, spec.bins, strict=True))
    if _blocks(spec, -1) is not None or spec.scale == "none":
        return str(spec)
    if static:
        return f"{spec}, static"
    return f"{label(spec.format)}, per sample, {dynamic_rule(spec.scale)} scale, dynamic"


def _fixed(each: ActBin) -> str:
    return f"{label(each.spec.format)}, per tensor, scale {each.value:g}"
