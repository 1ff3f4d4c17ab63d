"""Chen et al. 2024 with split layers: a format for each half of the concatenation, and one learned rounding of both."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from chen2024_checks import POLICY, static_job
from simulation_checks import SPEC, quiet, request

import fpsim
from fpsim import FpsimError, Policy
from fpsim.methods import chen2024
from fpsim.methods.initialization import initialization_sketches
from fpsim.methods.request import Row
from fpsim.methods.simulation import check, simulate
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves
from fpsim.quant import policy_toml
from fpsim.quant.rounding.grid import on_grid
from fpsim.quant.search.candidates import encodings_of, fractions_of
from fpsim.quant.search.search import search_magnitudes

QUICK = {"rounding_iters": 20, "rounding_samples": 1, "init_samples": 2}

job = partial(static_job, **QUICK)


@pytest.mark.parametrize("which", ["shortcut", "all"])
def test_each_half_has_the_format_of_its_own_values(which: str, model: LoadedModel, tmp_path: Path) -> None:
    splits = find_splits(model.denoiser, which)
    with chen2024.attach(job(model, tmp_path, split=which, rounding_iters=0)) as handle:
        found = policy_toml.loads((tmp_path / "searched.toml").read_text())
        sketches = initialization_sketches(model, SPEC, 2, splits, tmp_path, lambda *_: None)
        words = {layer.name: layer for layer in handle.coverage.quantized}
        for name, at in splits.items():
            weight = model.denoiser.get_submodule(name).weight.detach()
            for place, part, at_half in zip(
                halves(name, at), (weight[:, :at], weight[:, at:]), ("first", "second"), strict=True
            ):
                rule = found.half(name, place)
                assert rule.weights.format == fpsim.search_format(part, 4).format
                values = sketches[place].whole.magnitudes()
                assert rule.acts.format == search_magnitudes(values, encodings_of(8), fractions_of()).format
                assert getattr(handle.weights[name], at_half).quantizer.format == rule.weights.format
                assert getattr(handle.acts[name], at_half).quantizer.format == rule.acts.format
            assert words[name].weights.endswith(f"split at {at}, learned rounding")
            assert words[name].acts.endswith(f"split at {at}")
        assert set(splits) < set(words)
        assert "split" not in words["conv_in"].weights
    biases = [
        [found.half(name, place).weights.format.bias for place in halves(name, at)] for name, at in splits.items()
    ]
    assert all(first != second for first, second in biases)


@pytest.mark.parametrize("reconstruct", ["layer", "block"])
def test_rounding_is_learned_on_the_grids_of_both_halves(reconstruct: str, model: LoadedModel, tmp_path: Path) -> None:
    splits = find_splits(model.denoiser, "all")
    given = job(model, tmp_path, split="all", reconstruct=reconstruct, rounding_iters=40)
    with chen2024.attach(given) as handle:
        figures = json.loads((tmp_path / "rounding.json").read_text())["rounding"]["layers"]
        for name in splits:
            operand, weight = handle.weights[name], model.denoiser.get_submodule(name).weight.detach()
            parts = zip(
                operand.parts(operand.rounded), operand.parts(weight), (operand.first, operand.second), strict=True
            )
            for rounded, exact, half in parts:
                assert on_grid(rounded, exact, half.quantizer)
                if figures[name]["changed"]:
                    assert not torch.equal(rounded, half.quantizer(exact))
    assert all(layer["loss_learned"] <= layer["loss_nearest"] for layer in figures.values())
    assert sum(figures[name]["changed"] > 0 for name in splits) > len(splits) / 2
    again = chen2024.attach(given)  # reads what was learned: its values are those of both grids
    again.remove()


def test_a_run_with_split_layers_and_its_policy_alone(model: LoadedModel, tmp_path: Path) -> None:
    rows = (Row(label="fp4/fp8", policy=POLICY, weights="e2m1", acts="e4m3"),)
    options = {**QUICK, "rounding_iters": 0, "split": "all"}
    run = simulate(request(*rows, method="chen2024", method_options=options), model, tmp_path / "chen", quiet)
    assert (run["quantization"]["split"], run["quantization"]["init_samples"]) == ("all", 2)
    assert "conv_shortcut[[]:" in run["rows"][0]["policy"]
    policy = policy_toml.loads(run["rows"][0]["policy"])
    alone = replace(rows[0], policy=policy)
    again = simulate(request(alone, method_options={"split": "all"}), model, tmp_path / "rtn", quiet)
    ours, theirs = ({layer["name"]: layer for layer in each["rows"][0]["layers"]} for each in (run, again))
    for name, layer in ours.items():
        assert layer["weights"].removesuffix(", learned rounding") == theirs[name]["weights"]
        assert layer["acts"] == theirs[name]["acts"]
    assert run["rows"][0]["model_bytes"] == again["rows"][0]["model_bytes"]
    with pytest.raises(FpsimError, match=r"names half of a split layer: split the same layers \(--split\)") as caught:
        check(request(alone), model)
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_split_is_refused_before_any_work(model: LoadedModel) -> None:
    bare = replace(model, denoiser=torch.nn.Sequential(torch.nn.Linear(2, 2)))
    settings = chen2024.settings({"split": "all"}, model.kind, SPEC.steps)
    with pytest.raises(FpsimError, match="Sequential has no up path of residual blocks"):
        chen2024.check(bare.denoiser, Policy.uniform("e2m1"), settings, static=True)


HALF = "up_blocks.1.resnets.1.conv_shortcut"


def test_halves_by_hand(model: LoadedModel) -> None:
    """Rules may name halves; a later rule for the layer wins over them."""
    split = find_splits(model.denoiser, "shortcut")
    first, second = halves(HALF, split[HALF])
    spec = Policy.uniform("int4", weights_granularity="tensor", scale="max").rules[0].weights
    base = Policy.uniform("int8", scale="max")
    ours = base.rule(first.replace("[", "[[]", 1), weights=spec, acts=None)
    with fpsim.quantize_(model.denoiser, ours, split=split) as handle:
        assert handle.weights[HALF].first.quantizer.format.name == "int4"
        assert handle.weights[HALF].second.quantizer.format.name == "int8"
        (layer,) = (layer for layer in handle.coverage.quantized if layer.name == HALF)
        assert layer.weights.startswith("int4 (-7 to 7), per tensor, max scale and int8 (-127 to 127), per channel")
        exact = model.denoiser.get_submodule(HALF).weight
        at, out = split[HALF], len(exact)
        assert layer.weight_bits == 4 * out * at + 32 + 8 * out * (exact.shape[1] - at) + 32 * out
    with fpsim.quantize_(model.denoiser, ours.skip(HALF), split=split) as handle:
        assert HALF not in handle.weights
    for wrong, message in (
        (ours.rule(second.replace("[", "[[]", 1), weights=None, acts=None), "one half of .* is quantized"),
        (
            ours.rule(
                second.replace("[", "[[]", 1),
                weights=Policy.uniform("int4", weights_granularity="block:8").rules[0].weights,
                acts=None,
            ),
            "cannot differ, as blocks are not split",
        ),
    ):
        with pytest.raises(FpsimError, match=message):
            fpsim.quantize_(model.denoiser, wrong, split=split)
