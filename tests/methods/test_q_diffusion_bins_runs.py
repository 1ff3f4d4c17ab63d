"""Runs of Q-Diffusion whose activations follow the timestep: the record, what is refused, and a single bin."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from q_diffusion_checks import SMALL, job, operands, output
from simulation_checks import quiet, request

from fpsim import FpsimError, Policy
from fpsim.methods import q_diffusion
from fpsim.methods.request import Row
from fpsim.methods.simulation import check, simulate
from fpsim.model.attention import ROLES
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel
from fpsim.quant.policy_toml import loads

WEIGHTS = '[[rule]]\nmatch = "*"\nweights = "int3"\nacts = '
TWO = loads(WEIGHTS + '{ format = "int4", timestep_bins = [300] }')
PLAIN = Policy.uniform("int3", "int4")
SHORTCUT = "up_blocks.1.resnets.1.conv_shortcut"
SOFTMAX = "mid_block.attentions.0:softmax"


def _row(label: str, policy: Policy) -> Row:
    return Row(label=label, policy=policy, weights="", acts="")


SETTINGS = {**SMALL, "calibration_steps": 3, "rounding_iters": 1}


def test_the_record_of_a_simulation_lists_the_bins(model: LoadedModel, tmp_path: Path) -> None:
    asked = request(_row("two", TWO), _row("plain", PLAIN), method="q-diffusion", method_options=SETTINGS)
    run = simulate(asked, model, tmp_path / "run", quiet)
    two, plain = run["rows"]
    layers = {layer["name"] for layer in two["layers"]}
    bins = two["act_bins"]
    assert {name.partition("[")[0] for name in bins if ":" not in name.partition("[")[0]} == layers
    sites = {f"{name}:{role}" for name in two["rounding"]["attentions"] for role in ROLES}
    assert sites == {name for name in bins if ":" in name.partition("[")[0]}
    assert {f"{SHORTCUT}[:8]", f"{SHORTCUT}[8:]"} <= set(bins)
    low, high = bins[SOFTMAX]
    assert (low["from"], low["to"], high["from"], high["to"]) == (None, 300, 300, None)
    assert (low["format"], low["zero_point"]) == ("uint8", 0)
    assert low["scale"] != high["scale"]
    assert bins["conv_in"][0]["format"] == "int4-full"
    assert "act_bins" not in plain
    assert two["psnr_db"]["mean"] != plain["psnr_db"]["mean"]
    shutil.rmtree(tmp_path / "run" / "resume" / "two")
    assert simulate(asked, model, tmp_path / "run", quiet) == run
    three = _row("two", loads(WEIGHTS + '{ format = "int4", timestep_bins = [300, 500] }'))
    with pytest.raises(FpsimError, match="holds another run"):
        simulate(replace(asked, rows=(three, asked.rows[1])), model, tmp_path / "run", quiet)


def test_refused_before_any_work(model: LoadedModel) -> None:
    def refused(match: str, acts: str, **changes: Any) -> None:
        given = {"method": "q-diffusion", "method_options": SETTINGS, **changes}
        with pytest.raises(FpsimError, match=match):
            check(request(_row("row", loads(WEIGHTS + acts)), **given), model)

    refused(
        r"bin 400 to 700 holds none of the 2 timesteps that calibration keeps, .* more --calibration-steps",
        '{ format = "int4", timestep_bins = [400, 700] }',
        method_options={**SETTINGS, "calibration_steps": 2},
        spec=replace(request().spec, steps=4),
    )
    refused("bin 700 on holds none of the 3 timesteps", '{ format = "int4", timestep_bins = [300, 700] }')
    refused("no timestep bin holds timestep 666", '{ bins = [{ to = 400, format = "int4" }] }')
    refused("finds the scales of timestep bins itself; drop 'value'", '{ bins = [{ format = "int4", value = 0.1 }] }')
    refused("to integers, not to e4m3", '{ bins = [{ to = 300, format = "int4" }, { from = 300, format = "e4m3" }] }')
    refused("drop --act-scales dynamic", '{ format = "int4", timestep_bins = [300] }', act_scales="dynamic")


def test_a_bin_without_calibration_is_found_before_learning(model: LoadedModel, tmp_path: Path) -> None:
    """Where the run's timesteps were not known before."""
    late = loads(WEIGHTS + '{ format = "int4", timestep_bins = [800] }')
    with pytest.raises(FpsimError, match="timestep bin 800 on holds none of the 4 timesteps that calibration keeps"):
        q_diffusion.attach(job(model, tmp_path, policy=late, calibration_steps=4))
    assert not (tmp_path / "q-diffusion").exists()


def test_one_bin_is_no_bin(model: LoadedModel, tmp_path: Path) -> None:
    one = loads(WEIGHTS + '{ bins = [{ format = "int4" }] }')
    answers = []
    for name, policy in (("one", one), ("plain", PLAIN)):
        with q_diffusion.attach(job(model, tmp_path / name, policy=policy, rounding_iters=0, act_iters=6)) as handle:
            answers.append(output(model))
            assert isinstance(handle.acts["conv_in"], BinnedActivation) == (name == "one")
    assert torch.equal(*answers)


def test_formats_and_bins_of_single_layers(model: LoadedModel, tmp_path: Path) -> None:
    """Formats differ between bins, edges between layers, and some layers have no bins."""
    policy = loads(
        WEIGHTS
        + '"int8"\n[[rule]]\nmatch = "mid_block.*"\nweights = "int8"\n'
        + 'acts = { bins = [{ to = 300, format = "int4" }, { from = 300, format = "uint8" }] }\n'
        + '[[rule]]\nmatch = "up_blocks.0.*"\nacts = { format = "int6", timestep_bins = [600] }\n'
    )
    with q_diffusion.attach(job(model, tmp_path, policy=policy, rounding_iters=1, calibration_steps=4)) as handle:
        assert torch.isfinite(output(model)).all()
        found = operands(handle)
        middle, upper = found["mid_block.resnets.0.conv1"], found["up_blocks.0.resnets.0.conv1"]
        assert [part.quantizer.format.name for part in middle.operands] == ["int4-full", "uint8"]
        assert [part.quantizer.scales.zero_point is None for part in middle.operands] == [True, False]  # type: ignore[union-attr]
        assert (middle.spec.edges.edges, upper.spec.edges.edges) == ((300,), (600,))
        assert not isinstance(handle.acts["conv_in"], BinnedActivation)
        softmax = found[SOFTMAX]
        assert [part.quantizer.format.name for part in softmax.operands] == ["uint8", "uint8"]
        assert [float(part.quantizer.scales.zero_point[0]) for part in softmax.operands] == [0, 0]  # type: ignore[union-attr,index]
    record = json.loads((tmp_path / "rounding.json").read_text())
    assert "int4-full, per tensor (below 300); uint8, per tensor (300 on)" in record["acts"]
