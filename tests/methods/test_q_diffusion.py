"""Q-Diffusion on a tiny model: what it learns, what it leaves, how it goes on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from q_diffusion_checks import SMALL, inputs, job, output
from torch import Tensor

from fpsim import FpsimError, Policy
from fpsim.methods import q_diffusion
from fpsim.methods.q_diffusion_data import calibration_calls
from fpsim.methods.q_diffusion_plan import make_plan
from fpsim.methods.q_diffusion_settings import checked
from fpsim.methods.q_diffusion_units import run_order
from fpsim.model.attach import Handle
from fpsim.model.blocks import units
from fpsim.model.load import LoadedModel
from fpsim.model.split import SplitActivation, find_splits
from fpsim.quant.rounding.grid import on_grid

SHORTCUT = "up_blocks.1.resnets.1.conv_shortcut"


@pytest.fixture(scope="module")
def attached(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The learned model, its job, what was told, and answers before, during and after."""
    told: list[tuple[str, int, int]] = []
    before = output(model)
    work = job(model, tmp_path_factory.mktemp("qd") / "row", progress=lambda *args: told.append(args))
    handle = q_diffusion.attach(work)
    during = output(model)
    with handle.bypass():
        bypassed = output(model)
    handle.remove()
    return handle, work, told, (before, during, bypassed)


def test_the_model_computes_with_what_was_learned_and_goes_back(attached: Any) -> None:
    before, during, bypassed = attached[3]
    model = attached[1].model
    assert torch.equal(before, bypassed)
    assert torch.equal(before, output(model))
    assert not any("forward" in vars(module) for module in model.denoiser.modules())
    assert 0 < float((during - before).norm() / before.norm()) < 0.5


def test_every_unit_gets_no_worse_and_some_better(attached: Any) -> None:
    figures = json.loads((attached[1].folder / "rounding.json").read_text())["rounding"]["units"]
    model = attached[1].model.denoiser
    assert set(figures) == {name for name, _ in units(model)}
    assert all(unit["loss_learned"] <= unit["loss_nearest"] for unit in figures.values())
    assert sum(unit["loss_learned"] < 0.95 * unit["loss_nearest"] for unit in figures.values()) > len(figures) / 2
    assert all(unit["act_loss_learned"] <= unit["act_loss_start"] for unit in figures.values())
    assert sum(unit["act_loss_learned"] < unit["act_loss_start"] for unit in figures.values()) > len(figures) / 2


def test_hardened_weights_are_on_the_grid_and_not_all_nearest(attached: Any) -> None:
    handle: Handle = attached[0]
    model, splits, moved = attached[1].model.denoiser, find_splits(attached[1].model.denoiser, "shortcut"), 0
    for name, operand in handle.weights.items():
        weight: Tensor = model.get_submodule(name).weight.detach()
        at = splits.get(name)
        rounded = operand(weight)
        parts = [(operand, weight, rounded)]
        if at is not None:
            halves = (operand.first, slice(0, at)), (operand.second, slice(at, None))
            parts = [(half, weight[:, part], rounded[:, part]) for half, part in halves]
        for part, exact, ours in parts:
            exact, ours = exact.contiguous(), ours.contiguous()
            assert part.quantizer.format.name == "uint3"
            assert len(part.quantizer.scales.scale) == len(weight)
            assert on_grid(ours, exact, part.quantizer)
            moved += int((part.quantizer(exact) != ours).sum())
    assert moved > 100


def test_activations_are_static_per_tensor_and_steps_moved(attached: Any) -> None:
    handle: Handle = attached[0]
    start = json.loads((attached[1].folder / "q-diffusion" / "%28start%29.scales.json").read_text())["scales"]
    for name, operand in handle.acts.items():
        parts = (operand.first, operand.second) if isinstance(operand, SplitActivation) else (operand,)
        assert all(part.quantizer.format.name == "int8-full" for part in parts), name
        assert all(part.quantizer.scales.scale.shape == (1,) for part in parts)
    same = [float(op.quantizer.scales.scale[0]) == start[name][0] for name, op in handle.acts.items() if name in start]
    assert 0 < sum(same) < len(same) / 2
    assert len(handle.others) == 4 * 4
    assert handle.others[3].quantizer.format.name == "uint8"
    assert handle.others[3].quantizer.scales.zero_point[0] == 0


def test_shortcuts_are_split_where_the_concatenation_is(attached: Any) -> None:
    handle: Handle = attached[0]
    assert {name for name, op in handle.acts.items() if isinstance(op, SplitActivation)} == {
        f"up_blocks.{i}.resnets.{j}.conv_shortcut" for i in range(2) for j in range(2)
    }
    operand: Any = handle.acts[SHORTCUT]
    assert operand.first.quantizer.scales.scale[0] != operand.second.quantizer.scales.scale[0]
    layers = {layer.name: layer for layer in handle.coverage.quantized}
    assert "uint3" in layers[SHORTCUT].weights
    assert layers[SHORTCUT].weights.endswith("learned rounding, split at 8")
    said = [left.reason for left in handle.coverage.left if left.name.endswith("attentions.0")]
    assert said == ["queries, keys, values: int8-full, output of the softmax: uint8, per tensor, static"] * 3


def test_progress_rises_to_its_end_in_every_phase(attached: Any) -> None:
    told = attached[2]
    assert [*dict.fromkeys(what for what, _, _ in told)] == ["row: calibration", "row: weights", "row: step sizes"]
    for phase in ("row: weights", "row: step sizes"):
        counts = [done for what, done, _ in told if what == phase]
        assert counts == sorted(counts)
        assert counts[-1] == 1000


def test_a_run_that_goes_on_learns_only_what_is_missing(attached: Any, model: LoadedModel, tmp_path: Path) -> None:
    """Units that are kept are read; what is missing becomes bit for bit what it was."""
    work = job(model, tmp_path / "row")
    with pytest.raises(KeyboardInterrupt), q_diffusion.attach(_interrupted(work)):
        pass
    files = sorted((tmp_path / "row" / "q-diffusion").glob("*.safetensors"))
    assert 0 < len(files) < len(units(model.denoiser))
    stamps = {file: file.stat().st_mtime_ns for file in files}
    with q_diffusion.attach(work):
        again = output(model)
    assert torch.equal(again, attached[3][1])
    assert stamps == {file: file.stat().st_mtime_ns for file in files}
    files[0].write_bytes(b"nothing")
    with pytest.raises(FpsimError, match="is damaged"):
        q_diffusion.attach(work)


def _interrupted(work: Any) -> Any:
    from dataclasses import replace

    def stop(what: str, done: int, _total: int) -> None:
        if what.endswith("weights") and done > 300:
            raise KeyboardInterrupt

    return replace(work, progress=stop)


def test_units_follow_each_other_as_they_run(model: LoadedModel) -> None:
    order = run_order(model.denoiser, dict(units(model.denoiser)), inputs(model))
    names = list(order)
    assert set(names) == {name for name, _ in units(model.denoiser)}
    assert names.index("mid_block.resnets.1") < names.index("up_blocks.0.resnets.0")
    assert names[-1] == "conv_out"
    assert order["conv_in"] == 2 * 16 * 16 * 8 * 3 * 9  # images, positions, outputs, inputs, taps


def test_calibration_keeps_every_kth_step(model: LoadedModel, tmp_path: Path) -> None:
    spec = job(model, tmp_path).spec
    calls = calibration_calls(model, spec, 2, 3, lambda *_: None)
    times = [float(torch.as_tensor(call["timestep"])) for call in calls]
    assert len(calls) == 4  # two steps of two batches
    assert sum(len(call["sample"]) for call in calls) == 2 * 3
    every = [float(torch.as_tensor(c["timestep"])) for c in calibration_calls(model, spec, 4, 2, lambda *_: None)]
    assert times == [every[0], every[2]] * 2
    assert not model.denoiser._forward_pre_hooks


@pytest.mark.parametrize(
    ("acts", "given", "formats"),
    [
        ("int4", {}, ("int4-full", "uint8")),
        ("uint8", {"softmax_bits": 16}, ("uint8", "uint16")),
        ("int8", {"split": "all", "act_init": "mse"}, ("int8-full", "uint8")),
    ],
)
def test_plans(model: LoadedModel, acts: str, given: dict[str, Any], formats: tuple[str, str]) -> None:
    chosen = checked(q_diffusion.settings({**SMALL, **given}, model.kind, 4))
    plan = make_plan(model.denoiser, Policy.uniform("int4", acts).skip("conv_in", "mid_block.attentions.0.*"), chosen)
    (fmt,) = plan.places["conv_out"].formats
    assert fmt.name == formats[0]
    place = plan.places["up_blocks.0.attentions.0:softmax"]
    (softmax,) = place.formats
    assert (softmax.name, place.symmetric(softmax), place.learned) == (formats[1], True, formats[1] != "uint16")
    assert plan.places["conv_out"].symmetric(fmt) == acts.startswith("int")
    assert "conv_in" not in plan.places
    assert "mid_block.attentions.0" not in plan.attentions
    assert len(plan.splits) == (8 if given.get("split") == "all" else 4)


def test_weights_alone(model: LoadedModel, tmp_path: Path) -> None:
    with q_diffusion.attach(job(model, tmp_path, "int4", None, split="none", rounding_iters=2)) as handle:
        assert (len(handle.acts), handle.others) == (0, ())
        assert np.isfinite(output(model).numpy()).all()
    assert json.loads((tmp_path / "rounding.json").read_text())["acts"] == "full precision"
