"""Chen et al. 2024 behind the quantized prefix: formats in greedy order, rounding that answers to earlier errors."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from chen2024_checks import POLICY, Stop, static_job, stop_after
from simulation_checks import SPEC, quiet

from fpsim import Policy
from fpsim.methods import chen2024, rounding_prefix
from fpsim.methods.format_search import FormatSearch, search_formats
from fpsim.methods.rounding_calls import record_calls
from fpsim.model.grams import capture_grams
from fpsim.model.load import LoadedModel
from fpsim.quant import policy_toml
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic
from fpsim.quant.search.candidates import encodings_of

QUICK = {"rounding_iters": 10, "rounding_samples": 1, "init_samples": 2, "captured": "quantized-prefix"}

job = partial(static_job, **QUICK)


@pytest.mark.parametrize("split", ["none", "all"])
def test_formats_in_greedy_order_are_those_of_the_search_verb(split: str, model: LoadedModel, tmp_path: Path) -> None:
    wanted = search_formats(
        FormatSearch(
            weights=encodings_of(4), acts=encodings_of(8), channels=False, captured="quantized-prefix", spec=SPEC,
            images=2, split=split,
        ),
        model,
        quiet,
    )  # fmt: skip
    chen2024.attach(job(model, tmp_path, rounding_iters=0, split=split)).remove()
    found = policy_toml.loads((tmp_path / "searched.toml").read_text())
    for layer in wanted:
        rule = found.half(layer.name.split("[")[0], layer.name)
        assert rule.weights.format == layer.weights.format
        assert rule.acts.format == layer.acts.format
    chen2024.attach(job(model, tmp_path / "plain", rounding_iters=0, split=split, captured="full-precision")).remove()
    assert policy_toml.loads((tmp_path / "plain/searched.toml").read_text()) != found


def test_what_is_not_searched_quantizes_the_prefix_too(model: LoadedModel, tmp_path: Path) -> None:
    """Integers keep their formats, but what stands behind them sees what they do."""
    coarse = POLICY.rule("conv_in", weights=Policy.uniform("int2").rules[0].weights, acts=None)
    found = []
    for name, policy in (("coarse", coarse), ("alone", coarse.skip("conv_in"))):
        chen2024.attach(job(model, tmp_path / name, policy, rounding_iters=0)).remove()
        found.append(policy_toml.loads((tmp_path / name / "searched.toml").read_text()))
    assert found[0].layer("conv_in").weights.format.name == "int2"
    assert found[0].layer("down_blocks.0.resnets.0.conv1").acts != found[1].layer("down_blocks.0.resnets.0.conv1").acts


def test_the_loss_is_that_of_quantized_inputs_against_exact_outputs(model: LoadedModel, tmp_path: Path) -> None:
    with chen2024.attach(job(model, tmp_path)) as handle:
        figures = json.loads((tmp_path / "rounding.json").read_text())["rounding"]["layers"]
        with handle.bypass():
            calls = record_calls(model, SPEC, 1, lambda *_: None)
        for name in ("conv_in", "mid_block.resnets.0.conv1", "conv_out"):
            gram = capture_grams(model.denoiser, [name], calls, handle)[name]
            exact = model.denoiser.get_submodule(name).weight.detach()
            error = as_matrices((handle.weights[name].rounded - exact).double(), len(gram.hessian))
            loss = mean_squared_error(quadratic(gram, exact), error)
            assert loss == pytest.approx(figures[name]["loss_learned"], rel=1e-3)
            assert gram.cross is not None
            assert torch.equal(gram.cross, gram.hessian) == (name == "conv_in")
    assert all(layer["loss_learned"] <= layer["loss_nearest"] for layer in figures.values())


def test_blocks_answer_to_quantized_inputs(model: LoadedModel, tmp_path: Path) -> None:
    before = {name: p.clone() for name, p in model.denoiser.named_parameters()}
    with chen2024.attach(job(model, tmp_path, reconstruct="block", rounding_iters=30)) as handle:
        for operand in handle.weights.values():
            assert torch.equal(operand.quantizer(operand.rounded), operand.rounded)
    figures = json.loads((tmp_path / "rounding.json").read_text())["rounding"]["layers"]
    assert all(layer["loss_learned"] <= layer["loss_nearest"] for layer in figures.values())
    assert sum(layer["loss_learned"] < layer["loss_nearest"] for layer in figures.values()) > len(figures) / 2
    assert all(torch.equal(p, before[name]) for name, p in model.denoiser.named_parameters())
    assert "forward" not in vars(model.denoiser.conv_in)


@pytest.mark.parametrize("reconstruct", ["layer", "block"])
def test_an_interrupted_run_goes_on(
    reconstruct: str, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that are finished stand in the prefix of those that are not."""
    options = {"reconstruct": reconstruct, "rounding_iters": 3}
    chen2024.attach(job(model, tmp_path / "whole", **options)).remove()
    place, name = rounding_prefix, "learn_rounding" if reconstruct == "layer" else "learn_block"
    with monkeypatch.context() as patch:
        stop_after(patch, place, name, 4)
        with pytest.raises(Stop):
            chen2024.attach(job(model, tmp_path / "parts", **options))
    assert "forward" not in vars(model.denoiser.conv_in)
    told: list[tuple[str, int, int]] = []
    again = replace(job(model, tmp_path / "parts", **options), progress=lambda *a: told.append(a))
    chen2024.attach(again).remove()
    assert told[-1] == ("fp4/fp8: rounding", 1000, 1000)
    files = sorted(file.name for file in (tmp_path / "whole/rounding").iterdir())
    assert len(files) > 20
    for file in files:
        assert (tmp_path / "whole/rounding" / file).read_bytes() == (tmp_path / "parts/rounding" / file).read_bytes()
