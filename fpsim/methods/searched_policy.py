"""A policy's formats searched tensor by tensor (Algorithm 1), inside a method that goes on with them."""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from fpsim.model.layers import axes, has_plain_weight
from fpsim.model.samples import LayerSample
from fpsim.number import FloatFormat
from fpsim.quant.granularity import PerChannel, PerTensor
from fpsim.quant.policy import Policy, TensorSpec
from fpsim.quant.search.search import search_format


def searched(
    policy: Policy,
    layers: Mapping[str, nn.Module],
    samples: Mapping[str, LayerSample] | None,
    on_layer: Callable[[int, int], None] = lambda _done, _total: None,
) -> Policy:
    """Return a policy in which each float format became the one of its width that has the least squared error.

    Searched are signed floats of 3 to 8 bits with the scale rule ``mse``, per tensor (the bias is then part of the
    format) or per channel (the encoding is; the channels' scales are as good as biases of their own). Everything
    else, such as integers, blocks and scales by another rule, stays as the policy has it. Activations without samples
    have dynamic scales and stay as well.

    Args:
        policy: whose formats say the widths.
        layers: the model's, by name.
        samples: what entered the layers in full precision.
        on_layer: told about progress.

    Raises:
        FpsimError: a weight or sample holds NaN or Inf.

    Source: Chen et al. 2024, section V-A. The search of a tensor does not depend on another's, as its data are those
    of the full-precision model; so the paper's breadth-first order changes nothing.
    """
    found = policy
    for done, (name, module) in enumerate(layers.items(), 1):
        rule = policy.layer(name)
        weights, acts = rule.weights, rule.acts
        if weights is not None and has_plain_weight(module):
            weight: Any = module.weight
            weights = _best(weights, weight.detach(), PerChannel(axes(module).out), f"{name}.weight")
        if acts is not None and samples is not None and name in samples:
            acts = _best(acts, samples[name].values, PerChannel(0), f"the input of {name}")
        if (weights, acts) != (rule.weights, rule.acts):
            found = found.rule(glob.escape(name), weights=weights, acts=acts)
        on_layer(done, len(layers))
    return found


def _best(spec: TensorSpec, values: Any, channels: PerChannel, name: str) -> TensorSpec:
    fmt = spec.format
    if not (isinstance(fmt, FloatFormat) and fmt.signed and fmt.zero and spec.scale == "mse" and 3 <= fmt.bits <= 8):
        return spec
    if spec.granularity == "tensor":
        found = search_format(values, fmt.bits, granularity=PerTensor(), name=name)
        return replace(spec, format=found.format, scale="none")
    if spec.granularity == "channel":
        found = search_format(values, fmt.bits, granularity=channels, name=name)
        return replace(spec, format=found.encoding.default)
    return spec
