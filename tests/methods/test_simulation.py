"""The simulation itself, without the command line: what it records and measures."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from simulation_checks import quiet, request, row

import fpsim
from fpsim import Policy
from fpsim.methods import calibration, run_row
from fpsim.methods.request import Row
from fpsim.methods.simulation import simulate
from fpsim.model.load import LoadedModel


def test_the_record_has_everything(done: Any, model: LoadedModel) -> None:
    run, out = done
    assert list(run) == [
        "fpsim", "run_hash", "model", "sampling", "quantization", "environment", "command", "reference", "rows", "cost",
    ]  # fmt: skip
    assert run["model"]["sha256"] == model.sha256
    assert run["sampling"]["scheduler"] == "DDIMScheduler"
    assert {"steps", "num_images", "batch_size", "seed", "dtype", "device", "prompts"} <= set(run["sampling"])
    assert {"torch", "numpy", "numba", "diffusers", "threads", "machine"} <= set(run["environment"])
    assert run["environment"]["threads"] == torch.get_num_threads()
    for entry in (run["reference"], *run["rows"]):
        with np.load(out / entry["images"], allow_pickle=False) as arrays:
            assert arrays["arr_0"].shape == (3, 16, 16, 3)
            assert arrays["arr_0"].dtype == np.uint8
    assert [entry["label"] for entry in run["rows"]] == ["int4/int8", "e4m3/e4m3"]
    assert "conv_in" in [left["name"] for left in run["rows"][1]["left"]]
    assert run["rows"][0]["model_bytes"] < run["rows"][1]["model_bytes"] < run["rows"][0]["model_bytes_full"]
    assert run["rows"][0]["model_bytes_full"] == 4 * model.parameters


def test_timesteps_are_those_of_the_scheduler_and_errors_grow(done: Any) -> None:
    for entry in done[0]["rows"]:
        steps = entry["timesteps"]
        assert [step["step"] for step in steps] == [0, 1, 2]
        assert [step["t"] for step in steps] == [666, 333, 0]
        assert steps[0]["latent_sqnr_db"] == math.inf  # the noise itself
        assert all(math.isfinite(step["latent_sqnr_db"]) for step in steps[1:])
        assert all(math.isfinite(step["output_sqnr_db"]) for step in steps)
        assert steps[1]["latent_sqnr_db"] > steps[2]["latent_sqnr_db"] > 5


def test_layers_come_in_the_order_of_execution(done: Any, model: LoadedModel) -> None:
    order: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _m, _a, name=name: order.append(name))
        for name, module in model.denoiser.named_modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.no_grad():
        model.denoiser(torch.zeros(1, 3, 16, 16), 0)
    for hook in hooks:
        hook.remove()
    names = [layer["name"] for layer in done[0]["rows"][0]["layers"]]
    assert names == order
    assert [layer["name"] for layer in done[0]["rows"][1]["layers"]] == [name for name in order if name != "conv_in"]
    for layer in done[0]["rows"][0]["layers"]:
        for key in ("weight_sqnr_db", "act_sqnr_db", "output_sqnr_db"):
            assert layer[key] > 3
        for key in ("weight_sparsity", "act_sparsity"):
            assert 0 <= layer[key] < 1


def test_better_formats_have_better_scores(done: Any) -> None:
    coarse, fine = done[0]["rows"]
    for score in ("psnr_db", "ssim"):
        assert coarse[score]["mean"] < fine[score]["mean"]
        assert len(coarse[score]["per_image"]) == 3
    assert coarse["timesteps"][-1]["latent_sqnr_db"] < fine["timesteps"][-1]["latent_sqnr_db"]


def test_the_model_is_left_as_it_was(done: Any, model: LoadedModel) -> None:
    assert not any("forward" in vars(part) or part._forward_pre_hooks for part in model.denoiser.modules())
    assert model.parameters == sum(p.numel() for p in model.denoiser.parameters())


def test_a_finished_run_is_only_read_again(done: Any, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("sampled again")

    monkeypatch.setattr("fpsim.sample.run.sample_batch", refuse)
    monkeypatch.setattr(calibration, "sample_batch", refuse)
    monkeypatch.setattr(run_row, "measure_layers", refuse)
    run, out = done
    told: list[tuple[str, int, int]] = []
    again = simulate(request(row(), row("e4m3", "e4m3", None, "conv_in")), model, out, lambda *a: told.append(a))
    assert again == run
    assert {what for what, _, _ in told} == {"full precision", "calibration", "int4/int8", "e4m3/e4m3"}


def test_progress_ends_at_its_total(model: LoadedModel, tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    simulate(request(), model, tmp_path, lambda what, *count: told.setdefault(what, []).append(count))
    assert list(told) == ["full precision", "calibration", "int4/int8"]
    assert told["full precision"] == [(i, 6) for i in range(1, 7)]
    assert told["calibration"][-1] == (3, 3)
    assert told["int4/int8"][-1] == (6, 6)


def test_full_precision_in_a_row_is_exact(model: LoadedModel, tmp_path: Path) -> None:
    run = simulate(request(row("none", "none")), model, tmp_path, quiet)
    (entry,) = run["rows"]
    assert entry["psnr_db"]["mean"] == math.inf
    assert entry["ssim"]["mean"] == 1
    assert entry["layers"] == []
    assert entry["model_bytes"] == entry["model_bytes_full"]
    assert all(step["output_sqnr_db"] == math.inf for step in entry["timesteps"])
    images = [(tmp_path / name).read_bytes() for name in (run["reference"]["images"], entry["images"])]
    assert images[0] == images[1]


def test_static_and_dynamic_scales_differ(done: Any, model: LoadedModel, tmp_path: Path) -> None:
    run = simulate(request(act_scales="dynamic"), model, tmp_path, quiet)
    layers, static = run["rows"][0]["layers"], done[0]["rows"][0]["layers"]
    assert layers[0]["acts"] == "int8 (-127 to 127), per sample, max scale, dynamic"
    assert static[0]["acts"] == "int8 (-127 to 127), per tensor, max scale, static"
    assert run["rows"][0]["psnr_db"] != done[0]["rows"][0]["psnr_db"]
    assert (tmp_path / "images/full-precision.npz").read_bytes() == (done[1] / "images/full-precision.npz").read_bytes()


def test_a_row_of_any_label_is_kept_apart(model: LoadedModel, tmp_path: Path) -> None:
    """A policy file may be called config.toml; files of the rows must not collide with those of the run."""
    run = simulate(request(row(label="config"), row("e2m1", "int8", "layers")), model, tmp_path, quiet)
    assert run["rows"][0]["psnr_db"] != run["rows"][1]["psnr_db"]
    assert json.loads((tmp_path / "resume/config.json").read_text())["sampling"]["steps"] == 3
    assert simulate(request(row(label="config"), row("e2m1", "int8", "layers")), model, tmp_path, quiet) == run


def test_own_formats_can_be_simulated(model: LoadedModel, tmp_path: Path) -> None:
    blocks = fpsim.format("mxfp4")
    mine = replace(blocks, name="mine", block=8, element=fpsim.format("e2m1", bias=1.3))
    policy = Policy.uniform(mine, [-1.0, -0.25, 0.0, 0.5, 1.0])
    given = Row(label="mine", policy=policy, weights="mine", acts="codebook")
    run = simulate(request(given), model, tmp_path, quiet)
    assert "[formats.mine]" in run["rows"][0]["policy"]
    assert run["rows"][0]["layers"][0]["weights"].startswith("mine")
