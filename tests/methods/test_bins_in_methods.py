"""Simulations whose activations follow the timestep."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulation_checks import SPEC, quiet, request

from fpsim import Policy
from fpsim.errors import FpsimError
from fpsim.methods import rtn
from fpsim.methods.calibration import calibrate
from fpsim.methods.request import Row
from fpsim.methods.simulation import check, simulate
from fpsim.model.attach import quantize_
from fpsim.model.binned import BinnedActivation
from fpsim.model.load import LoadedModel
from fpsim.model.operands import ActivationOperand
from fpsim.quant.binned import BinnedSpec
from fpsim.quant.policy_toml import loads
from fpsim.sample.denoise import sample_batch

RULE = '[[rule]]\nmatch = "*"\nweights = "int8"\nacts = '


def of(label: str, policy: Policy) -> Row:
    return Row(label=label, policy=policy, weights="", acts="")


TWO = of("two", loads(RULE + '{ format = "int8", scale = "max", timestep_bins = [300] }'))
FORMATS = of("formats", loads(RULE + '{ bins = [{ to = 300, format = "int4" }, { from = 300, format = "e4m3" }] }'))
ONE = of("one", loads(RULE + '{ scale = "max", bins = [{ format = "int8" }] }'))
PLAIN = of("plain", loads(RULE + '{ format = "int8", scale = "max" }'))


@pytest.fixture(scope="module")
def binned(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("bins")
    return simulate(request(PLAIN, ONE, TWO, FORMATS), model, out, quiet), out


def images(run: tuple[dict[str, Any], Path], label: str) -> Any:
    (entry,) = (entry for entry in run[0]["rows"] if entry["label"] == label)
    with np.load(run[1] / entry["images"], allow_pickle=False) as arrays:
        return arrays["arr_0"]


def test_one_bin_is_no_bin_and_two_are_two(binned: Any) -> None:
    assert (images(binned, "one") == images(binned, "plain")).all()
    assert (images(binned, "two") != images(binned, "plain")).any()
    assert (images(binned, "formats") != images(binned, "two")).any()


def test_the_record_has_scales_by_bin(binned: Any) -> None:
    plain, one, two, formats = binned[0]["rows"]
    assert "act_bins" not in plain
    assert set(two["act_bins"]) == {layer["name"] for layer in two["layers"]}
    low, high = two["act_bins"]["conv_in"]
    assert (low["from"], low["to"], high["from"], high["to"]) == (None, 300, 300, None)
    assert low["format"] == high["format"] == "int8"
    assert low["scale"] != high["scale"]
    assert max(low["scale"], high["scale"]) == one["act_bins"]["conv_in"][0]["scale"], "the largest value of all"
    assert [each["format"] for each in formats["act_bins"]["conv_in"]] == ["int4", "e4m3"]
    assert loads(two["policy"]) == TWO.policy


def test_a_run_that_goes_on_gives_the_same(model: LoadedModel, binned: Any, tmp_path: Path) -> None:
    run, out = binned
    shutil.copytree(out, tmp_path / "run")
    for name in ("two", "formats"):
        shutil.rmtree(tmp_path / "run" / "resume" / name)
        (tmp_path / "run" / "images" / f"{name}.npz").unlink()
    assert simulate(request(PLAIN, ONE, TWO, FORMATS), model, tmp_path / "run", quiet) == run
    for name in ("two", "formats"):
        again = tmp_path / "run" / "images" / f"{name}.npz"
        assert again.read_bytes() == (out / "images" / f"{name}.npz").read_bytes()


def test_another_schedule_takes_bins_by_value(model: LoadedModel, tmp_path: Path) -> None:
    """Scales of a run of 10 steps serve one of 4: the step's number says nothing, its timestep all."""
    found = calibrate(model, replace(SPEC, steps=10), 2, tmp_path, lambda *_: None)
    policy = Policy.uniform(None, "int8", timestep_bins=4)
    used: list[tuple[float, int]] = []

    class Seen(BinnedActivation):
        def _quantized(self, x: Any) -> Any:
            result = super()._quantized(x)
            used.append((self.clock.timesteps[0], [o.quantizer for o in self.operands].index(self.quantizer)))
            return result

    with quantize_(model.denoiser, policy, found.samples) as handle:
        first: ActivationOperand = handle.acts["conv_in"]
        first.__class__ = Seen
        for steps in (4, 10):
            sample_batch(model, replace(SPEC, steps=steps), range(1))
    assert [t for t, _ in used] == [750, 500, 250, 0, 900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert [number for _, number in used] == [int(t // 250) for t, _ in used]


def test_edges_follow_the_models_training(model: LoadedModel, tmp_path: Path) -> None:
    even = of("even", Policy.uniform(None, "int8", scale="max", timestep_bins=2))
    run = simulate(request(even), model, tmp_path, quiet)
    acts = loads(run["rows"][0]["policy"]).rules[0].acts
    assert isinstance(acts, BinnedSpec)
    assert acts.edges.edges == (500.0,)


def test_refused_before_any_work(model: LoadedModel) -> None:
    def refused(match: str, given: Row, **changes: Any) -> None:
        with pytest.raises(FpsimError, match=match):
            check(request(given, **changes), model)

    late = of("late", loads(RULE + '{ format = "int8", timestep_bins = [700] }'))
    refused("timestep bin 700 on holds none of the run's 3 timesteps, so it has no scale; take more --steps", late)
    closed = of("closed", loads(RULE + '{ bins = [{ to = 400, format = "int8" }] }'))
    refused("no timestep bin holds timestep 666", closed)
    check(request(late, act_scales="dynamic"), model)
    check(request(of("blocks", loads(RULE + '{ format = "mxfp8", timestep_bins = [700] }'))), model)


def test_a_method_says_that_it_has_bins(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(rtn, "TIMESTEP_BINS")
    check(request(PLAIN), model)
    with pytest.raises(FpsimError, match="--method rtn has no timestep bins of activations"):
        check(request(TWO), model)


def test_a_damaged_calibration(model: LoadedModel, binned: Any, tmp_path: Path) -> None:
    shutil.copytree(binned[1], tmp_path / "run")
    path = tmp_path / "run" / "resume" / "calibration" / "samples.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez(path, **(kept | {"calls_0": kept["calls_0"][1:]}))
    shutil.rmtree(tmp_path / "run" / "resume" / "two")
    with pytest.raises(FpsimError, match=r"is damaged .*does not fit its calls"):
        simulate(request(PLAIN, ONE, TWO, FORMATS), model, tmp_path / "run", quiet)
