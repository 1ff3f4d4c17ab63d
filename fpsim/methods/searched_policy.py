"""A policy's formats searched tensor by tensor (Algorithm 1), inside a method that goes on with them."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from fpsim.methods.found_formats import places_of, spec_of, weight_parts
from fpsim.methods.initialization import initialization_sketches
from fpsim.methods.input_search import edges_of, encodings_for, is_searched, with_found
from fpsim.methods.job import Job
from fpsim.methods.prefix import Operand, behind_prefix
from fpsim.methods.timestep_bins import training_timesteps
from fpsim.model.binned_sketch import BinnedSketch
from fpsim.model.layers import axes, has_plain_weight, quantizable
from fpsim.model.split_build import act_specs, activations, specs_of, weight
from fpsim.model.timestep import Clock
from fpsim.quant.granularity import Granularity, PerChannel, PerTensor
from fpsim.quant.policy import Policy, Rule, TensorSpec
from fpsim.quant.search.search import search_format


def searched(job: Job, splits: Mapping[str, int]) -> Policy:
    """Return a policy in which each float format became the one of its width that has the least squared error.

    Searched are signed floats of 3 to 8 bits with the scale rule ``mse``, per tensor (the bias is then part of the
    format) or per channel (each channel has a bias), each half of a split layer by itself. Everything else, such as
    integers, blocks and scales by another rule, stays as the policy has it. Activations without samples have dynamic
    scales and stay as well. Weights come first; then the layers' inputs over the initialization set, as the
    full-precision model has them, or behind the quantized prefix: layer by layer as they run, each fixed before the
    next one's input is captured.

    Inputs that follow the timestep have a format for each bin, from what of the initialization set lies in it. Weights
    have one for all timesteps.

    Args:
        job: with the settings ``captured`` and ``init_samples``; the model is left as it was.
        splits: split indices by layer.

    Raises:
        FpsimError: NaN or Inf in a weight or an input; a timestep bin without any timestep of the set.

    Source: Chen et al. 2024, section V-A. With inputs of the full-precision model the search of a tensor does not
    depend on another's, so the paper's breadth-first order changes nothing.
    """
    layers: dict[str, Any] = dict(quantizable(job.model.denoiser))
    policy = job.policy.over(training_timesteps(job.model))
    given = {place: _rule(policy, name, place) for name in layers for place in places_of(name, splits)}
    rules = dict(given)
    for done, (name, module) in enumerate(layers.items(), 1):
        _search_weight(name, module, splits, rules)
        job.progress(f"{job.label}: formats", done, len(layers))
    wanted = [name for name in layers if any(is_searched(rules[place].acts) for place in places_of(name, splits))]
    if wanted and job.samples is not None:
        find = _from_full_precision if job.settings["captured"] == "full-precision" else _from_prefix
        find(job, layers, wanted, splits, rules)
    for place, rule in rules.items():
        if rule != given[place]:
            policy = policy.rule(glob.escape(place), weights=rule.weights, acts=rule.acts)
    return policy


def _rule(policy: Policy, name: str, place: str) -> Rule:
    return policy.layer(name) if place == name else policy.half(name, place)


def _search_weight(name: str, module: Any, splits: Mapping[str, int], rules: dict[str, Rule]) -> None:
    if not has_plain_weight(module):
        return
    for place, part in weight_parts(name, module, splits):
        spec = rules[place].weights
        if spec is not None and encodings_for(spec):
            rules[place] = replace(rules[place], weights=_best(spec, part, axes(module).out, f"{place}.weight"))


def _best(spec: TensorSpec, values: Tensor, axis: int, name: str) -> TensorSpec:
    channels = spec.granularity == "channel"
    granularity: Granularity = PerChannel(axis) if channels else PerTensor()
    return spec_of(search_format(values, int(spec.format.bits), granularity=granularity, name=name), channels=channels)


def _search_input(place: str, sketch: BinnedSketch, rules: dict[str, Rule]) -> None:
    rules[place] = replace(rules[place], acts=with_found(place, sketch, rules[place].acts))


def _from_full_precision(
    job: Job, _layers: Mapping[str, Any], wanted: list[str], splits: Mapping[str, int], rules: dict[str, Rule]
) -> None:
    sketches = initialization_sketches(
        job.model,
        job.spec,
        job.settings["init_samples"],
        splits,
        job.shared or job.folder,
        lambda done, total: job.progress("initialization set", done, total),
        job.timesteps,
        edges_of(rules[place].acts for name in wanted for place in places_of(name, splits)),
    )
    for place in list(sketches):
        _search_input(place, sketches.pop(place), rules)


def _from_prefix(
    job: Job, layers: Mapping[str, Any], wanted: list[str], splits: Mapping[str, int], rules: dict[str, Rule]
) -> None:
    def both(name: str) -> list[Rule]:
        return [rules[place] for place in places_of(name, splits)]

    rounded = {
        name: weight(name, module, found, job.backend, splits)
        for name, module in layers.items()
        if (found := specs_of(both(name), acts=False))
    }

    def fix(name: str, sketches: Mapping[str, BinnedSketch], clock: Clock | None) -> Operand | None:
        for place, sketch in sketches.items():
            _search_input(place, sketch, rules)
        found = act_specs(both(name))
        return activations(name, layers[name], found, job.samples, job.backend, splits, clock) if found else None

    behind_prefix(
        job.model,
        job.spec,
        job.settings["init_samples"],
        layers,
        wanted,
        splits,
        rounded,
        fix,
        lambda what, done, total: job.progress(f"initialization set: {what}", done, total),
        edges_of(rule.acts for rule in rules.values()),
    )
