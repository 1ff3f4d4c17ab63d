"""Runs of Chen et al. 2024 with timestep bins: learned rounding, records, and runs that go on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chen2024_bins_checks import EDGE, LEARNED, QUICK, TWO, attached, job, policy_with
from chen2024_checks import Stop, stop_after
from simulation_checks import SPEC, quiet, request

import fpsim
from fpsim import FpsimError, Policy
from fpsim.methods import chen2024, initialization, rounding_prefix, searched_policy
from fpsim.methods.request import Row
from fpsim.methods.rounding_calls import record_calls
from fpsim.methods.simulation import simulate
from fpsim.model.grams import capture_grams
from fpsim.model.load import LoadedModel
from fpsim.quant import policy_toml
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic


def test_rounding_sees_inputs_in_the_format_of_each_calls_bin(model: LoadedModel, tmp_path: Path) -> None:
    """The loss over all calls is the mean of those that a model without bins has in each bin's own formats."""
    with chen2024.attach(job(model, tmp_path, LEARNED, captured="quantized-prefix", rounding_iters=3)) as handle:
        rounded = {name: operand.rounded for name, operand in handle.weights.items()}
    found = policy_toml.loads((tmp_path / "searched.toml").read_text())
    figures = json.loads((tmp_path / "rounding.json").read_text())["rounding"]["layers"]
    calls = record_calls(model, SPEC, 1, lambda *_: None)
    names = ("mid_block.resnets.0.conv1", "conv_out")
    losses: dict[str, list[float]] = {name: [] for name in names}
    for number, mine in ((1, calls[:2]), (0, calls[2:])):  # from the noise on: 666 and 333, then 0
        with fpsim.quantize_(model.denoiser, in_bin(found, number), weights=rounded) as handle:
            grams = capture_grams(model.denoiser, names, mine, handle)
        for name, gram in grams.items():
            exact = model.denoiser.get_submodule(name).weight.detach()
            error = as_matrices((rounded[name] - exact).double(), len(gram.hessian))
            losses[name] += [mean_squared_error(quadratic(gram, exact), error)] * len(mine)
    for name, each in losses.items():
        assert len(set(each)) == 2
        assert np.mean(each) == pytest.approx(figures[name]["loss_learned"], rel=1e-3), name


def in_bin(policy: Policy, number: int) -> Policy:
    """A policy that has the formats of one bin at all timesteps."""
    rules = (replace(rule, acts=rule.acts.specs[number]) for rule in policy.rules if isinstance(rule.acts, BinnedSpec))
    return Policy(tuple(rules))


def test_blocks_behind_the_prefix(model: LoadedModel, tmp_path: Path) -> None:
    chen2024.attach(job(model, tmp_path, LEARNED, captured="quantized-prefix", reconstruct="block")).remove()
    figures = json.loads((tmp_path / "rounding.json").read_text())["rounding"]["layers"]
    assert len(figures) > 5
    assert all(layer["loss_learned"] <= layer["loss_nearest"] for layer in figures.values())


ROWS = (
    Row(label="two", policy=policy_with('{ format = "e4m3", timestep_bins = [300] }'), weights="", acts=""),
    Row(label="plain", policy=policy_with('"e4m3"'), weights="", acts=""),
)
CHEN = {"method": "chen2024", "method_options": QUICK}


@pytest.fixture(scope="module")
def run(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("chen-bins")
    return simulate(request(*ROWS, **CHEN), model, out, quiet), out


def images(out: Path, name: str) -> Any:
    with np.load(out / "images" / f"{name}.npz", allow_pickle=False) as arrays:
        return arrays["arr_0"]


def test_the_record_has_the_formats_of_each_bin(run: Any) -> None:
    two, plain = run[0]["rows"]
    policy = policy_toml.loads(two["policy"])
    assert set(two["act_bins"]) == {layer["name"] for layer in two["layers"]}
    for name, bins in two["act_bins"].items():
        specs = policy.layer(name).acts.specs
        assert [(each["from"], each["to"]) for each in bins] == [(None, EDGE), (EDGE, None)]
        assert [(each["format"], each["bias"]) for each in bins] == [(s.format.name, s.format.bias) for s in specs]
    assert len({each["bias"] for bins in two["act_bins"].values() for each in bins}) > 20
    assert two["acts"].endswith(", searched, in 2 timestep bins")
    assert plain["acts"].endswith(", searched")
    assert sum(int(part.split()[2].rstrip(",")) for part in two["acts"].split(", ")[:-2]) == 2 * len(two["act_bins"])
    assert "act_bins" not in plain
    costs = {entry["label"]: entry["step_s"] for entry in run[0]["cost"]["rows"]}
    assert costs["two"] == costs["plain"] > 0, "formats of one width in all bins cost the same"


def test_the_policy_of_the_record_alone_gives_the_same_images(run: Any, model: LoadedModel, tmp_path: Path) -> None:
    alone = replace(ROWS[0], policy=policy_toml.loads(run[0]["rows"][0]["policy"]))
    again = simulate(request(alone), model, tmp_path, quiet)
    assert again["quantization"]["method"] == "rtn"
    assert (images(tmp_path, "two") == images(run[1], "two")).all()
    assert again["rows"][0]["act_bins"] == run[0]["rows"][0]["act_bins"]
    assert (images(run[1], "two") != images(run[1], "plain")).any()


@pytest.mark.parametrize("lost", ["images", "formats"])
def test_a_run_that_goes_on_gives_the_same(
    lost: str, run: Any, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the initialization set nor, where they are found, the formats of any bin are computed twice."""
    record, out = run
    shutil.copytree(out, tmp_path / "run")
    resume = tmp_path / "run" / "resume" / "two"
    (resume / "layers.json").unlink()
    if lost == "formats":
        (resume / "searched.toml").unlink()
        _interrupt(model, tmp_path / "run", monkeypatch)
    else:
        monkeypatch.setattr(searched_policy, "with_found", None)
    monkeypatch.setattr(initialization, "run_calibration", None)
    assert simulate(request(*ROWS, **CHEN), model, tmp_path / "run", quiet) == record
    assert (images(tmp_path / "run", "two") == images(out, "two")).all()


def _interrupt(model: LoadedModel, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with a run until some formats are found."""
    with monkeypatch.context() as patch:
        stop_after(patch, searched_policy, "with_found", 5)
        with pytest.raises(Stop):
            simulate(request(*ROWS, **CHEN), model, out, quiet)
    assert "forward" not in vars(model.denoiser.conv_in)
    assert not (out / "resume" / "two" / "searched.toml").exists()


def test_an_interrupted_run_behind_the_prefix(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"captured": "quantized-prefix", "rounding_iters": 3}
    attached(model, tmp_path / "whole", LEARNED, **options)
    with monkeypatch.context() as patch:
        stop_after(patch, rounding_prefix, "learn_rounding", 3)
        with pytest.raises(Stop):
            attached(model, tmp_path / "parts", LEARNED, **options)
    monkeypatch.setattr(chen2024, "searched", None)
    attached(model, tmp_path / "parts", LEARNED, **options)
    files = sorted(file.name for file in (tmp_path / "whole/rounding").iterdir())
    assert len(files) > 5
    for file in files:
        assert (tmp_path / "whole/rounding" / file).read_bytes() == (tmp_path / "parts/rounding" / file).read_bytes()


def test_a_damaged_set_is_named(model: LoadedModel, tmp_path: Path) -> None:
    bins = searched_policy.edges_of([TWO.rules[0].acts])

    def read() -> Any:
        return initialization.initialization_sketches(model, SPEC, 1, {}, tmp_path, lambda *_: None, bins=bins)

    found = read()
    assert found["conv_in"].bins.edges == (EDGE,)
    (path,) = tmp_path.glob("initialization-*.json")
    whole = json.loads(path.read_text())
    for record in ({**whole, "edges": []}, {**whole, "edges": ["x"]}, {**whole, "edges": [5, 4]}, {"places": []}):
        path.write_text(json.dumps(record))
        with pytest.raises(FpsimError, match=r"is damaged .*delete it and run again") as caught:
            read()
        assert "\n" not in str(caught.value)
