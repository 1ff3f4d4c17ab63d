"""The cost block of a run's record: no policy and no module breaks it, and it says what devices do with formats."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from simulation_checks import request, row

from fpsim import Policy
from fpsim.cost import workload
from fpsim.methods import run_cost
from fpsim.methods.run_identity import identity
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves
from fpsim.quant import policy_toml
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy import spec


def block(model: LoadedModel, policy: Policy, **changes: Any) -> dict[str, Any]:
    """The block of a run of one row, as ``run.json`` has it."""
    rows = [{"label": "x", "policy": policy_toml.dumps(policy)}]
    found: dict[str, Any] = json.loads(json.dumps(run_cost.record(request(**changes), model, rows, None)))
    return found


def of(found: dict[str, Any], label: str, device: str) -> dict[str, Any]:
    entries = {(entry["label"], entry["device"]): entry for entry in found["rows"]}
    return entries[label, device]


def test_a_row_and_device_have_time_memory_and_how_formats_are_computed(done: Any) -> None:
    found = done[0]["cost"]
    assert (found["batch"], found["cfg"], found["act_scales"]) == (2, False, "static")
    labels = ["full precision", "int4/int8", "e4m3/e4m3"]
    assert [(e["label"], e["device"]) for e in found["rows"]] == [(a, b) for a in labels for b in run_cost.DEVICES]
    for entry in found["rows"]:
        assert entry["level"] == "calibrated"
        assert 0 < entry["step_bound_s"] <= entry["step_low_s"] < entry["step_s"] < entry["step_high_s"]
        assert 0 < entry["peak_bytes"] < entry["device_bytes"]
    full, small = (of(found, label, "h100-sxm") for label in labels[:2])
    assert small["peak_bytes"] < full["peak_bytes"]
    native = {"compute": "fp8", "level": "native"}
    assert native.items() <= of(found, "e4m3/e4m3", "h100-sxm")["computes"][0].items()
    assert {"compute": "fp16", "level": "native", "layers": 1} in of(found, "e4m3/e4m3", "h100-sxm")["computes"]
    assert "stored" in [each["level"] for each in of(found, "e4m3/e4m3", "orin-agx")["computes"]]
    assert any("interval" in note for note in found["notes"])


def test_the_model_is_traced_once_a_run(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    before = workload._traced
    monkeypatch.setattr(workload, "_traced", lambda *words: calls.append(1) or before(*words))
    rows = [{"label": f"{n}", "policy": policy_toml.dumps(Policy.uniform("int4", "int8"))} for n in range(3)]
    assert len(run_cost.record(request(), model, rows, None)["rows"]) == 4 * len(run_cost.DEVICES)
    assert calls == [1]


def test_halves_of_split_layers_biases_and_timestep_bins(model: LoadedModel) -> None:
    splits = find_splits(model.denoiser, "shortcut")
    policy = Policy.uniform("e2m1", "e4m3", scale="max")
    for name, at in splits.items():
        for half in halves(name, at):
            pattern = half.replace("[", "[[]", 1)
            policy = policy.rule(pattern, weights=spec("e4m3", "channel", "max"), acts=spec("e4m3", "tensor", "max"))
    settings = {"method": "chen2024", "method_options": {"split": "shortcut"}}
    found = block(model, policy, **settings)
    assert splits
    computes = of(found, "x", "b200")["computes"]
    assert sum(each["layers"] for each in computes) == sum(
        each["layers"] for each in of(found, "full precision", "b200")["computes"]
    )
    binned = Policy.uniform("e2m1", "e4m3", timestep_bins=4).over(1000.0)
    assert isinstance(binned.rules[0].acts, BinnedSpec)
    assert of(block(model, binned), "x", "h100-sxm")["computes"][0]["compute"] == "fp8"
    biased = spec("e2m1", "channel", "none")
    assert biased is not None
    biases = tuple(1.0 + n % 3 for n in range(model.denoiser.conv_in.out_channels))
    searched = Policy.uniform("e4m3").rule("conv_in", weights=replace(biased, biases=biases), acts=None)
    assert "rows" in block(model, searched)


def test_a_module_that_cannot_be_traced_is_one_line(model: LoadedModel) -> None:
    class Mine(torch.nn.Module):
        conv = torch.nn.Conv2d(3, 3, 3)

    found = block(replace(model, denoiser=Mine()), Policy.uniform("int8", "int8"))
    assert list(found) == ["missing"]
    assert "Mine" in found["missing"]
    assert len(found["missing"].splitlines()) == 1


def test_neither_the_model_nor_the_run_changes(model: LoadedModel) -> None:
    asked = request(row())
    before, weights = identity(asked, model), {k: v.clone() for k, v in model.denoiser.state_dict().items()}
    block(model, asked.rows[0].policy)
    assert identity(asked, model) == before
    assert all(torch.equal(weights[key], value) for key, value in model.denoiser.state_dict().items())
    assert not model.denoiser.training
