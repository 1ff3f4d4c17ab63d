"""Which formats each operation of the denoiser has by a policy, and what a device does with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fpsim.cost.device import Device
from fpsim.cost.operations import Component, Operation
from fpsim.cost.support import Support, support
from fpsim.cost.work import Formats
from fpsim.number import BlockFormat, Format
from fpsim.quant.granularity import PerBlock, PerChannel, parse
from fpsim.quant.policy import BinnedSpec, Policy, Rule, TensorSpec

#: Bits of a scale that is no format's own: float32.
_SCALE_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A pair of formats on a device.

    Attributes:
        weights, acts: names, "" for full precision.
        support: what the device does.
        layers: how many follow it.
    """

    weights: str
    acts: str
    support: Support
    layers: int


def layers(component: Component) -> tuple[str, ...]:
    """Return the names of a component's convolutions and linear layers, in execution order."""
    return tuple(dict.fromkeys(op.layer for op in component.operations if _is_layer(op)))


def supports(policy: Policy | None, component: Component, device: Device, dtype: str) -> Formats:
    """Return what a device does with each operation of a component.

    Args:
        policy: of the convolutions and linear layers; None for full precision, as everything else is.
        component: its operations name their layers.
        device: the device.
        dtype: full precision.

    Raises:
        FpsimError: a rule that matches no layer.
    """
    plain = support(None, None, device, dtype)
    if policy is None:
        return lambda _: plain
    found = {name: _support(rule, device, dtype) for name, rule in policy.resolve(layers(component)).items()}
    return lambda operation: found.get(operation.layer, plain) if _is_layer(operation) else plain


def uses(policy: Policy | None, component: Component, device: Device, dtype: str) -> tuple[Use, ...]:
    """Return the pairs of formats that a component's layers have, the most frequent first."""
    rules = policy.resolve(layers(component)).values() if policy else [_PLAIN] * len(layers(component))
    counts: dict[tuple[str, str], tuple[Rule, int]] = {}
    for rule in rules:
        key = (_name(rule.weights), _name(rule.acts))
        counts[key] = (rule, counts.get(key, (rule, 0))[1] + 1)
    found = [
        Use(weights=weights, acts=acts, support=_support(rule, device, dtype), layers=count)
        for (weights, acts), (rule, count) in counts.items()
    ]
    return tuple(sorted(found, key=lambda use: -use.layers))


def weight_bits(policy: Policy | None, component: Component, dtype_bits: float) -> Mapping[str, float]:
    """Return the bits of a weight of each layer, scales of blocks included."""
    return {
        name: rule.weights.stored.bits if rule.weights else dtype_bits
        for name, rule in (policy.resolve(layers(component)) if policy else {}).items()
    }


def scale_bits(policy: Policy | None, component: Component) -> Mapping[str, float]:
    """Return the bits of the scales of each layer's weight, where they are not in the format."""
    shapes = dict(component.parameter_shapes)
    rules: Iterable[tuple[str, Rule]] = policy.resolve(layers(component)).items() if policy else ()
    return {name: _scales(rule.weights, shapes.get(f"{name}.weight", (1,))) for name, rule in rules if rule.weights}


_PLAIN = Rule(match="*", weights=None, acts=None)


def _support(rule: Rule, device: Device, dtype: str) -> Support:
    """What the device does; where an input's format follows the timestep, in the bin that asks most of it."""
    weights = rule.weights.stored if rule.weights else None
    found = [support(weights, acts, device, dtype) for acts in _stored(rule.acts) or (None,)]
    return max(found, key=lambda each: (each.level == "stored", each.act_bits))


def _stored(spec: TensorSpec | BinnedSpec | None) -> tuple[Format, ...]:
    """The stored format, or those of the bins of the timestep, each once."""
    specs = spec.specs if isinstance(spec, BinnedSpec) else () if spec is None else (spec,)
    return tuple(dict.fromkeys(each.stored for each in specs))


def _name(spec: TensorSpec | BinnedSpec | None) -> str:
    return " or ".join(dict.fromkeys(each.name for each in _stored(spec)))


def _scales(spec: TensorSpec, shape: tuple[int, ...]) -> float:
    if isinstance(spec.stored, BlockFormat) or spec.scale == "none":
        return 0.0
    view = parse(spec.granularity)
    if isinstance(view, PerBlock):
        size = 1
        for length in shape:
            size *= length
        return _SCALE_BITS * size / view.size
    return float(_SCALE_BITS * (shape[0] if isinstance(view, PerChannel) else 1))


def _is_layer(operation: Operation) -> bool:
    return operation.kind in ("conv", "linear")
