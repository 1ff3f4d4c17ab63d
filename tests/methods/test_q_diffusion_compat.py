"""The released code's peculiarities: off by default, and each with the effect that it is named for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from q_diffusion_checks import SMALL, job

from fpsim import Policy
from fpsim.methods import q_diffusion
from fpsim.methods.q_diffusion_data import calibration_calls
from fpsim.methods.q_diffusion_plan import make_plan
from fpsim.methods.q_diffusion_settings import Compat, checked
from fpsim.methods.q_diffusion_store import UnitStore
from fpsim.methods.q_diffusion_units import run_order
from fpsim.methods.q_diffusion_weights import learn_weights
from fpsim.methods.rounding_run import Progress
from fpsim.model.load import LoadedModel


def test_all_are_off_by_default_and_on_together(model: LoadedModel) -> None:
    ours = checked(q_diffusion.settings({}, model.kind, 50))
    theirs = checked(q_diffusion.settings({"compat": "q-diffusion"}, model.kind, 50))
    assert ours.compat == Compat()
    assert not any(getattr(ours.compat, name) for name in Compat.__dataclass_fields__)
    assert all(getattr(theirs.compat, name) for name in Compat.__dataclass_fields__)
    assert (ours.weights.second_free, ours.weights.train_mode, ours.weights.keep_nearest) == (False, False, True)
    assert (theirs.weights.second_free, theirs.weights.train_mode, theirs.weights.keep_nearest) == (True, True, False)
    assert (ours.steps.train_mode, theirs.steps.train_mode) == (False, True)


@pytest.mark.parametrize(("compat", "name"), [("none", "uint8"), ("q-diffusion", "int8-full")])
def test_signed_softmax(model: LoadedModel, compat: str, name: str) -> None:
    chosen = checked(q_diffusion.settings({**SMALL, "compat": compat}, model.kind, 4))
    plan = make_plan(model.denoiser, Policy.uniform("int4", "int8"), chosen)
    assert [fmt.name for fmt in plan.places["mid_block.attentions.0:softmax"].formats] == [name]
    assert [fmt.name for fmt in plan.places["mid_block.attentions.0:query"].formats] == ["int8-full"]


@pytest.mark.parametrize("theirs", [False, True])
def test_a_resumed_run_fits_what_is_left_by_max(model: LoadedModel, tmp_path: Path, theirs: bool) -> None:
    work = job(model, tmp_path, rounding_iters=1)
    chosen = replace(checked(work.settings), compat=Compat(max_on_resume=theirs))
    plan, store = make_plan(model.denoiser, work.policy, chosen), UnitStore(tmp_path)
    calls = calibration_calls(model, work.spec, 1, 1, lambda *_: None)
    order = run_order(model.denoiser, plan.units, calls[0])
    unit = next(iter(order))
    told = Progress(lambda *_: None)
    learn_weights(model.denoiser, plan, {unit: order[unit]}, calls, chosen, store, told)
    first, last = store.read_weights(unit), list(order)[1]
    assert first[1]["scale_rule"] is None
    learn_weights(model.denoiser, plan, {name: order[name] for name in (unit, last)}, calls, chosen, store, told)
    assert store.read_weights(last)[1]["scale_rule"] == ("max" if theirs else None)
    assert torch.equal(store.read_weights(unit)[0][unit], first[0][unit])


def test_the_resumed_scales_are_those_that_the_model_computes_with(model: LoadedModel, tmp_path: Path) -> None:
    """The quantizer of a unit that was learned with ``max`` covers its weight's whole range."""
    work = job(model, tmp_path, "int3", None, compat="q-diffusion", rounding_iters=1, split="none")

    def stop(what: str, done: int, _total: int) -> None:
        if what.endswith("weights") and done > 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        q_diffusion.attach(replace(work, progress=stop))
    with q_diffusion.attach(work) as handle:
        weight = model.denoiser.conv_out.weight.detach().flatten(1)
        scales = torch.from_numpy(handle.weights["conv_out"].quantizer.scales.scale)
        early = model.denoiser.time_embedding.linear_1.weight.detach()
        others = torch.from_numpy(handle.weights["time_embedding.linear_1"].quantizer.scales.scale)
    low, high = weight.amin(1).clamp(max=0), weight.amax(1).clamp(min=0)
    torch.testing.assert_close(scales, (high - low) / 7)
    assert (others < (early.amax(1) - early.amin(1)) / 7).any()
