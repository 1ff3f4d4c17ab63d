"""Chen et al. 2024 with activations that follow the timestep: a format in each bin, weights once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chen2024_bins_checks import EDGE, ONE, PLAIN, QUICK, SAMPLES, TWO, attached, job, policy_with
from simulation_checks import SPEC, quiet, request

import fpsim
from fpsim import FpsimError, Policy
from fpsim.methods import chen2024, initialization, searched_policy
from fpsim.methods.format_search import FormatSearch, search_formats
from fpsim.methods.found_formats import policy_of
from fpsim.methods.recorded_calls import run_calibration
from fpsim.methods.request import Row
from fpsim.methods.simulation import check
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves
from fpsim.quant import policy_toml
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.search.candidates import encodings_of, fractions_of
from fpsim.quant.search.search import search_magnitudes
from fpsim.quant.search.sketch import Sketch


def inputs(model: LoadedModel, name: str) -> dict[float, list[np.ndarray]]:
    """All values that enter a layer in the set, by timestep: seen without any part of the search."""
    kept: dict[float, list[np.ndarray]] = {}
    now = [0.0]

    def begin(_module: Any, args: Any, kwargs: Any) -> None:
        now[0] = float(args[1] if len(args) > 1 else kwargs["timestep"])

    def keep(_module: Any, args: Any) -> None:
        kept.setdefault(now[0], []).append(args[0].detach().numpy().copy())

    hooks = [
        model.denoiser.register_forward_pre_hook(begin, with_kwargs=True),
        model.denoiser.get_submodule(name).register_forward_pre_hook(keep),
    ]
    with torch.no_grad():
        run_calibration(model, SPEC, SAMPLES, lambda *_: None)
    for hook in hooks:
        hook.remove()
    return kept


def best(values: list[np.ndarray], bits: int = 8) -> Any:
    sketch = Sketch()
    for each in values:
        sketch.add(each)
    return search_magnitudes(sketch.magnitudes(), encodings_of(bits), fractions_of()).format


def parts_of(kept: dict[float, list[np.ndarray]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    assert len(kept) == SPEC.steps
    low = [x for t, each in kept.items() if t < EDGE for x in each]
    return low, [x for t, each in kept.items() if t >= EDGE for x in each]


def test_each_bin_has_the_best_format_of_its_own_values(model: LoadedModel, tmp_path: Path) -> None:
    found, plain = attached(model, tmp_path / "two"), attached(model, tmp_path / "plain", PLAIN)
    for name in ("time_embedding.linear_2", "conv_in", "mid_block.resnets.0.conv1", "conv_out"):
        spec = found.layer(name).acts
        assert isinstance(spec, BinnedSpec)
        assert spec.edges.edges == (EDGE,)
        low, high = parts_of(inputs(model, name))
        assert [each.format for each in spec.specs] == [best(low), best(high)]
        assert spec.specs[0].format != spec.specs[1].format
        assert {(each.scale, each.granularity) for each in spec.specs} == {("none", "tensor")}
        assert plain.layer(name).acts.format == best([*low, *high])
        assert found.layer(name).weights == plain.layer(name).weights, "once for all timesteps"


def test_one_bin_is_no_bin(model: LoadedModel, tmp_path: Path) -> None:
    plain, one = attached(model, tmp_path / "plain", PLAIN), attached(model, tmp_path / "one", ONE)
    for ours, theirs in zip(one.rules[1:], plain.rules[1:], strict=True):
        assert isinstance(ours.acts, BinnedSpec)
        assert (ours.match, ours.weights, ours.acts.specs) == (theirs.match, theirs.weights, (theirs.acts,))


def test_bins_of_different_layers_and_what_is_not_searched(model: LoadedModel, tmp_path: Path) -> None:
    """Each layer has the bins of its own rule; integers, given scales and other rules stay."""
    mixed = policy_with(
        '{ bins = [{ to = 300, format = "int8" }, { from = 300, to = 500, format = "e4m3", value = 0.5 }, '
        '{ from = 500, format = "e2m3" }] }'
    ).rules[0]
    whole = policy_with('{ format = "e4m3", scale = "max", timestep_bins = [300] }').rules[0]
    policy = TWO.rule("conv_in", weights=None, acts=mixed.acts).rule("conv_out", weights=None, acts=whole.acts)
    found = attached(model, tmp_path, policy.rule("mid_block.resnets.0.conv1", weights=None, acts=PLAIN.rules[0].acts))
    first, second, third = found.layer("conv_in").acts.bins
    assert (first, second) == mixed.acts.bins[:2]
    late = [x for t, each in inputs(model, "conv_in").items() if t >= 500 for x in each]
    assert third.spec.format == best(late, 6)
    assert found.layer("conv_out").acts == whole.acts
    everything = [x for each in inputs(model, "mid_block.resnets.0.conv1").values() for x in each]
    assert found.layer("mid_block.resnets.0.conv1").acts.format == best(everything)
    assert [each.format for each in found.layer("time_embedding.linear_2").acts.specs] == [
        best(part) for part in parts_of(inputs(model, "time_embedding.linear_2"))
    ]


def test_bins_of_equal_width_follow_the_models_training(model: LoadedModel, tmp_path: Path) -> None:
    even = Policy.uniform("e3m2", "e4m3", weights_granularity="tensor", timestep_bins=2)
    assert attached(model, tmp_path, even).layer("conv_in").acts.edges.edges == (500.0,)


def test_halves_have_bins_of_their_own(model: LoadedModel, tmp_path: Path) -> None:
    splits = find_splits(model.denoiser, "shortcut")
    name, at = next(iter(splits.items()))
    found = attached(model, tmp_path, split="shortcut")
    low, high = parts_of(inputs(model, name))
    for place, ends in zip(halves(name, at), (slice(None, at), slice(at, None)), strict=True):
        acts = found.half(name, place).acts
        assert [each.format for each in acts.specs] == [best([x[:, ends] for x in part]) for part in (low, high)]


def test_scales_without_a_search_are_those_of_rounding_to_nearest(model: LoadedModel, tmp_path: Path) -> None:
    given = job(model, tmp_path, format_search=False)
    with chen2024.attach(given) as ours:
        scales = {name: [float(o.quantizer.scales.scale[0]) for o in a.operands] for name, a in ours.acts.items()}
    with fpsim.quantize_(model.denoiser, TWO, given.samples) as theirs:
        for name, operand in theirs.acts.items():
            assert scales[name] == [float(part.quantizer.scales.scale[0]) for part in operand.operands]
    assert any(low != high for low, high in scales.values())


def test_dynamic_scales_are_left_alone(model: LoadedModel, tmp_path: Path) -> None:
    chen2024.attach(replace(job(model, tmp_path), samples=None)).remove()
    found = policy_toml.loads((tmp_path / "searched.toml").read_text())
    assert found.layer("conv_in").acts == TWO.rules[0].acts


@pytest.mark.parametrize("split", ["none", "all"])
def test_behind_the_prefix_formats_are_those_of_the_search_verb(split: str, model: LoadedModel, tmp_path: Path) -> None:
    even = Policy.uniform("e3m2", "e4m3", weights_granularity="tensor", timestep_bins=2)
    options = {"captured": "quantized-prefix", "split": split}
    found = attached(model, tmp_path, even, **options)
    wanted = search_formats(
        FormatSearch(
            weights=encodings_of(6), acts=encodings_of(8), channels=False, captured="quantized-prefix", spec=SPEC,
            images=SAMPLES, split=split, timestep_bins=2,
        ),
        model,
        quiet,
    )  # fmt: skip
    for rule in policy_of(wanted, channels=False).rules:
        place = rule.match.replace("[[]", "[")
        assert found.half(place.partition("[")[0], place).acts.bins == rule.acts.bins
    plain = attached(model, tmp_path / "plain", even, **{**options, "captured": "full-precision"})
    assert plain.layer("conv_out").acts != found.layer("conv_out").acts


def test_rows_with_other_edges_have_another_set(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    original = initialization.run_calibration
    monkeypatch.setattr(initialization, "run_calibration", lambda *a: (ran.append(a[2]), original(*a)))
    splits: dict[str, int] = {}
    for policy in (TWO, TWO, PLAIN, ONE, policy_with('{ format = "e4m3", timestep_bins = [500] }')):
        bins = searched_policy.edges_of([policy.rules[0].acts])
        initialization.initialization_sketches(model, SPEC, SAMPLES, splits, tmp_path, lambda *_: None, bins=bins)
    assert len(ran) == 3
    assert len(list(tmp_path.glob("initialization*.npz"))) == 3


def test_refused_in_one_line(model: LoadedModel, tmp_path: Path) -> None:
    late = policy_with('{ format = "e4m3", timestep_bins = [700] }')
    row = Row(label="late", policy=late, weights="", acts="")
    with pytest.raises(FpsimError, match="timestep bin 700 on holds none of the run's 3 timesteps") as caught:
        check(request(row, method="chen2024", method_options=QUICK), model)
    assert "\n" not in str(caught.value)
    for captured in ("full-precision", "quantized-prefix"):
        with pytest.raises(FpsimError, match=r"timestep bin 700 on holds none of the timesteps of layer '.*' in") as e:
            chen2024.attach(job(model, tmp_path / captured, late, captured=captured))
        assert "\n" not in str(e.value)
        assert "forward" not in vars(model.denoiser.conv_in)
