"""Attach quantizers to a model's layers, and take them off again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from fpsim.errors import FpsimError
from fpsim.model.arithmetic import Arithmetic, named
from fpsim.model.compute import compute_with
from fpsim.model.coverage import Coverage
from fpsim.model.intercept import Interception
from fpsim.model.layer_plan import LayerPlan
from fpsim.model.layers import quantizable, without_fused_layers
from fpsim.model.learned import give
from fpsim.model.operands import ActivationOperand, WeightOperand
from fpsim.model.samples import Calibration, LayerSample, collect
from fpsim.model.split_build import split_rules
from fpsim.model.threads import share_threads
from fpsim.model.timestep import clock_of
from fpsim.quant.binned import TRAINED
from fpsim.quant.policy import Policy


class Handle:
    """A quantized model's other end: what was applied, and the way back.

    Attributes:
        coverage: each layer and what was applied to it, and what was left alone.
        acts: the operands that quantize inputs, by layer.
        weights: the operands that quantize weights, by layer.
        others: operands of products without weights, such as those of attention.
        products: operand types and instruction of each product that a tensor core computes, by layer.
    """

    def __init__(
        self,
        coverage: Coverage,
        acts: Mapping[str, ActivationOperand],
        weights: Mapping[str, WeightOperand],
        undo: list[Callable[[], None]],
        others: Sequence[ActivationOperand] = (),
    ) -> None:
        self.coverage, self.acts, self.weights, self._undo = coverage, acts, weights, undo
        self.others = tuple(others)
        self.products: Mapping[str, str] = {}

    @contextlib.contextmanager
    def bypass(self) -> Iterator[None]:
        """Let the model compute in full precision inside a ``with`` block."""
        operands: list[ActivationOperand | WeightOperand] = [*self.acts.values(), *self.weights.values(), *self.others]
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
    strict: bool = False,
    weights: Mapping[str, Tensor] | None = None,
    split: Mapping[str, int] | None = None,
    arithmetic: str | Arithmetic | None = None,
    timesteps: float = TRAINED,
) -> Handle:
    """Let a model's convolutions and linear layers compute with quantized weights and inputs, in place.

    The parameters themselves stay as they are; weights are rounded once and again when they change, with the scales
    of the first time unless ``load_state_dict`` brought others. Norms, activation functions and everything else stay
    in full precision. Gradients pass straight through.

    Args:
        model: any module.
        policy: which layer gets which format.
        calibration: for static activation scales: a function that runs the model, an iterable of its inputs
            (tensors, tuples or dicts), or samples from :func:`fpsim.model.samples.collect`. None makes activation
            scales dynamic: the largest magnitude of each sample.
        backend: who rounds: ``numba``, ``numpy``, ``torch`` or a registered name.
        strict: refuse blocks that do not divide a layer's input channels.
        weights: rounded weights by layer, such as learned ones, that stand for rounding to nearest as long as the
            layer's parameter does not change; they must be values of the layer's format with its scales.
        split: layers whose first so many input channels have scales of their own, from
            :func:`fpsim.model.split.find_splits`; samples must have both halves. Blocks are not split.
        arithmetic: what multiplies the quantized operands: ``fp32`` (torch itself, also for None), an architecture
            such as ``hopper``, or an :class:`fpsim.model.arithmetic.Arithmetic`.
        timesteps: of training, over which timestep bins of equal width are spread.

    Returns:
        The handle: ``handle.coverage``, ``handle.remove()``; also a context manager.

    Raises:
        FpsimError: a rule that matches no layer, NaN in a weight, a layer that the calibration did not run, a given
            weight that is no rounding of its layer's, operands that the arithmetic does not take.
    """
    share_threads()
    core = named(arithmetic)
    if not isinstance(policy, Policy):
        raise FpsimError(f"the policy is a {type(policy).__name__}; make one: fpsim.Policy.uniform(weights=…, acts=…)")
    plan = _plan(model, policy.over(timesteps), split or {}, backend)
    if strict:
        plan.check_whole_blocks()
    samples = _samples(model, plan, calibration)
    operands = plan.weights()
    give(weights or {}, plan.layers, operands)
    clock = clock_of(model) if policy.binned else None
    acts = plan.acts(samples, clock)
    coverage = plan.coverage(model, weights or (), static=samples is not None)
    undo = [] if clock is None else clock.attach(model)
    handle = Handle(coverage, acts, operands, undo + put_on(model, plan.layers, acts, operands))
    if core is not None:
        _compute(model, handle, core)
    return handle


def _plan(model: nn.Module, policy: Policy, split: Mapping[str, int], backend: str | None) -> LayerPlan:
    layers = dict(quantizable(model))
    rules, halves = split_rules(policy, layers, split)
    splits = {name: split[name] for name in halves}
    return LayerPlan(layers=layers, rules=rules, halves=halves, splits=splits, backend=backend)


def _compute(model: nn.Module, handle: Handle, core: Arithmetic) -> None:
    """Let a tensor core compute, or leave the model as it was."""
    try:
        compute_with(model, handle, core)
    except BaseException:
        handle.remove()
        raise


def _samples(model: nn.Module, plan: LayerPlan, calibration: Any) -> Mapping[str, LayerSample] | None:
    if calibration is None or not any(rule.acts for rule in plan.rules.values()):
        return None
    if isinstance(calibration, Mapping) and all(isinstance(value, LayerSample) for value in calibration.values()):
        return calibration
    return collect(model, calibration, plan.splits)


def put_on(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    acts: Mapping[str, ActivationOperand],
    weights: Mapping[str, WeightOperand],
) -> list[Callable[[], None]]:
    """Let layers compute with operands; return what undoes it, last first."""
    touched = {name for name in layers if name in acts or name in weights}
    inside = {id(part) for name in touched for part in layers[name].modules()}  # their products are their own
    undo = without_fused_layers(model)
    for name, module in layers.items():
        if name in touched or id(module) in inside:
            label = (name or type(module).__name__) if name in touched else None
            undo.append(Interception(module, acts.get(name), weights.get(name), label).undo)
        if name in weights:
            loaded = module.register_load_state_dict_post_hook(weights[name].forget)  # type: ignore[no-untyped-call]
            undo.append(loaded.remove)
    return undo
