"""Q-Diffusion with activations that follow the timestep: a step size in each bin, weights once for all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from q_diffusion_checks import inputs, job, operands, output

from fpsim import FpsimError, Policy
from fpsim.methods import q_diffusion
from fpsim.methods.q_diffusion_data import calibration_calls
from fpsim.methods.q_diffusion_places import first_scales
from fpsim.methods.q_diffusion_plan import make_plan
from fpsim.methods.q_diffusion_settings import checked
from fpsim.methods.q_diffusion_store import UnitStore
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel
from fpsim.model.ranges import observe
from fpsim.quant.policy_toml import loads
from fpsim.quant.scales import Scales

#: The runs of these tests call the denoiser at 750, 500, 250 and 0.
ALL = {"calibration_steps": 4}
WEIGHTS = '[[rule]]\nmatch = "*"\nweights = "int3"\nacts = '
TWO = loads(WEIGHTS + '{ format = "int4", timestep_bins = [300] }')
PLAIN = Policy.uniform("int3", "int4")
SHORTCUT = "up_blocks.1.resnets.1.conv_shortcut"
SOFTMAX = "mid_block.attentions.0:softmax"


@pytest.fixture(scope="module")
def attached(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The learned model's handle, its job, and its answers."""
    work = job(model, tmp_path_factory.mktemp("bins") / "row", policy=TWO, **ALL)
    with q_diffusion.attach(work) as handle:
        answers = output(model)
        low, high = (_answer(model, rows) for rows in (slice(0, 1), slice(1, 2)))
    return handle, work, answers, (low, high)


def _answer(model: LoadedModel, rows: slice) -> torch.Tensor:
    with torch.no_grad():
        answer: torch.Tensor = model.denoiser(**{key: value[rows] for key, value in inputs(model).items()}).sample
    return answer


def _scales(operand: BinnedActivation) -> list[float]:
    return [float(part.quantizer.scales.scale[0]) for part in operand.operands]  # type: ignore[union-attr]


def test_every_activation_has_a_step_in_each_bin(attached: Any) -> None:
    handle = attached[0]
    found = operands(handle)
    assert len(found) == len(handle.acts) + 4 + 4 * 4  # four shortcuts have two halves, four attentions four sites
    assert all(isinstance(operand, BinnedActivation) for operand in found.values())
    differing = [name for name, operand in found.items() if len(set(_scales(operand))) == 2]
    assert len(differing) > 0.9 * len(found)
    assert {f"{SHORTCUT}#0", f"{SHORTCUT}#1", "mid_block.attentions.0:query", SOFTMAX} <= set(differing)
    assert {part.quantizer.format.name for part in found[SOFTMAX].operands} == {"uint8"}
    assert {part.quantizer.format.name for part in found["conv_out"].operands} == {"int4-full"}


def test_weights_are_learned_once_and_do_not_see_the_bins(attached: Any, model: LoadedModel, tmp_path: Path) -> None:
    work = job(model, tmp_path, policy=PLAIN, **ALL)
    with q_diffusion.attach(work) as plain:
        assert not torch.equal(output(model), attached[2])
        for name, operand in plain.weights.items():
            weight = model.denoiser.get_submodule(name).weight.detach()
            assert torch.equal(operand(weight), attached[0].weights[name](weight))


@pytest.mark.parametrize("init", ["max", "ema", "mse"])
def test_a_bin_starts_from_its_own_part_of_the_calibration(model: LoadedModel, tmp_path: Path, init: str) -> None:
    """What is found in a bin is what a calibration on the bin's timesteps alone finds."""
    work = job(model, tmp_path, policy=TWO, act_init=init, rounding_iters=0, act_iters=0, **ALL)
    with q_diffusion.attach(work):
        pass
    start, chosen = UnitStore(tmp_path / "q-diffusion").read_scales("(start)")[0], checked(work.settings)
    plan = make_plan(model.denoiser, PLAIN, chosen)
    calls = calibration_calls(model, work.spec, 4, 2, lambda *_: None)
    weights = _rounded(work)

    def run(mine: list[Any]) -> None:
        for call in mine:
            torch.func.functional_call(model.denoiser, weights, (), call)

    layers = [name for name, rule in plan.rules.items() if rule.acts is not None]
    for number, mine in enumerate([c for c in calls if (c["timestep"] >= 300) == late] for late in (False, True)):
        seen = observe(model.denoiser, layers, plan.splits, plan.attentions, lambda mine=mine: run(mine))
        for name, place in plan.places.items():
            (wanted,) = first_scales(place, seen[name], init, name)
            assert start[name][number].scale == wanted.scale, name
            assert start[name][number].zero_point == wanted.zero_point


def _rounded(work: Any) -> dict[str, torch.Tensor]:
    store = UnitStore(work.folder / "q-diffusion")
    files = (path.stem for path in store.folder.glob("*.safetensors"))
    found = [store.read_weights(name)[0] for name in files]
    return {f"{name}.weight": weight for layers in found for name, weight in layers.items()}


def test_samples_of_one_batch_in_different_bins(attached: Any, model: LoadedModel) -> None:
    """The inputs of these tests lie at 100 and 900, one in each bin."""
    mixed, alone = attached[2], torch.cat(attached[3])
    torch.testing.assert_close(mixed, alone, rtol=1e-4, atol=1e-4)
    with q_diffusion.attach(attached[1]) as handle:
        for operand in operands(handle).values():
            operand.operands = operand.operands[::-1]
            operand._scales = Scales(operand._scales.scale[::-1], operand._scales.zero_point)
        assert float((output(model) - mixed).abs().max()) > 1e-2


def test_learning_lowers_the_error_of_each_unit(attached: Any) -> None:
    record = json.loads((attached[1].folder / "rounding.json").read_text())
    units = record["rounding"]["units"].values()
    assert all(unit["act_loss_learned"] <= unit["act_loss_start"] for unit in units)
    assert sum(unit["act_loss_learned"] < unit["act_loss_start"] for unit in units) > len(units) / 2
    assert record["acts"] == "int4-full, per tensor, in 2 timestep bins, ema start, learned steps (Q-Diffusion)"


def test_steps_of_both_bins_moved(attached: Any) -> None:
    store = UnitStore(attached[1].folder / "q-diffusion")
    start = store.read_scales("(start)")[0]
    units = [name for name in json.loads((attached[1].folder / "rounding.json").read_text())["rounding"]["units"]]
    learned = {place: scales for unit in units for place, scales in store.read_scales(unit)[0].items()}
    assert set(learned) == set(start)
    moved = [[float(a.scale[0]) != float(b.scale[0]) for a, b in zip(start[p], learned[p], strict=True)] for p in start]
    assert (np.mean(moved, axis=0) > 0.3).all()


def test_a_run_that_goes_on_learns_only_what_is_missing(attached: Any, model: LoadedModel, tmp_path: Path) -> None:
    folder = tmp_path / "row"
    shutil.copytree(attached[1].folder, folder)
    files = sorted((folder / "q-diffusion").glob("*.scales.json"))
    lost = [file for file in files if "%28start%29" not in file.name][::2]
    for file in lost:
        file.unlink()
    stamps = {file: file.stat().st_mtime_ns for file in files if file not in lost}
    with q_diffusion.attach(replace(attached[1], folder=folder)):
        assert torch.equal(output(model), attached[2])
    assert stamps == {file: file.stat().st_mtime_ns for file in stamps}
    for file in lost:
        assert file.read_bytes() == (attached[1].folder / "q-diffusion" / file.name).read_bytes()


def test_the_way_back(attached: Any, model: LoadedModel) -> None:
    before = output(model)
    with q_diffusion.attach(attached[1]) as handle, handle.bypass():
        assert torch.equal(output(model), before)
    assert torch.equal(output(model), before)
    assert not model.denoiser._forward_pre_hooks
    assert not model.denoiser._forward_hooks


def test_coverage_says_bins(attached: Any) -> None:
    coverage = attached[0].coverage
    said = {layer.name: layer.acts for layer in coverage.quantized}
    assert said["conv_in"] == "int4-full (-8 to 7), per tensor, static, learned step, in 2 timestep bins"
    assert said[SHORTCUT].endswith("in 2 timestep bins, split at 8")
    (words,) = {left.reason for left in coverage.left if left.name.endswith("attentions.0")}
    assert words == (
        "queries, keys, values: int4-full, output of the softmax: uint8, per tensor, static, in 2 timestep bins"
    )


def test_a_damaged_file(attached: Any, tmp_path: Path) -> None:
    shutil.copytree(attached[1].folder, tmp_path / "row")
    path = tmp_path / "row" / "q-diffusion" / "conv_in.scales.json"
    path.write_text('{"scales": {"conv_in": []}, "figures": {}}')
    with pytest.raises(FpsimError, match="is damaged"):
        q_diffusion.attach(replace(attached[1], folder=tmp_path / "row"))
