"""The simulation itself, without the command line: what it records, measures and refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fpsim
from fpsim import Policy
from fpsim.errors import FpsimError
from fpsim.methods import calibration, simulation
from fpsim.methods.request import Request, Row
from fpsim.methods.simulation import simulate
from fpsim.model.load import LoadedModel
from fpsim.sample.spec import SampleSpec

SPEC = SampleSpec(steps=3, num_images=3, batch_size=2, seed=0)


def row(weights: str = "int4", acts: str = "int8", label: str | None = None, *skip: str, scale: str = "max") -> Row:
    policy = Policy.uniform(weights, acts, scale=scale).skip(*skip)
    return Row(label=label or f"{weights}/{acts}", policy=policy, weights=weights, acts=acts)


def request(*rows: Row, **changes: Any) -> Request:
    given = Request(
        spec=SPEC,
        rows=rows or (row(),),
        act_scales="static",
        calibration_images=2,
        backend=None,
        dtype="float32",
        device="cpu",
        quantization={},
        command="fpsim simulate",
    )
    return replace(given, **changes)


def quiet(_what: str, _finished: int, _total: int) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def done(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A finished run of two rows."""
    out = tmp_path_factory.mktemp("run")
    return simulate(request(row(), row("e4m3", "e4m3", None, "conv_in")), model, out, quiet), out


def test_the_record_has_everything(done: Any, model: LoadedModel) -> None:
    run, out = done
    assert list(run) == [
        "fpsim", "run_hash", "model", "sampling", "quantization", "environment", "command", "reference", "rows",
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
    monkeypatch.setattr(simulation, "measure_layers", refuse)
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


def test_calibration_sees_every_timestep_on_noise_of_its_own(model: LoadedModel, tmp_path: Path) -> None:
    given: list[tuple[Any, Any]] = []
    original = calibration.sample_batch

    def watched(*args: Any, **options: Any) -> Any:
        given.append(args[1:3])
        return original(*args, **options)

    calibration.sample_batch, kept = watched, calibration.sample_batch
    try:
        found = calibration.calibrate(model, SPEC, 2, tmp_path, lambda *_: None)
    finally:
        calibration.sample_batch = kept
    ((spec, indices),) = given
    assert list(indices) == [1 << 24, (1 << 24) + 1]
    assert (spec.steps, spec.seed) == (SPEC.steps, SPEC.seed)
    assert found.samples["conv_in"].calls == 3
    assert [float(torch.as_tensor(probe["timestep"])) for probe in found.probes] == [666, 333, 0]
    assert all(probe["sample"].shape == (2, 3, 16, 16) for probe in found.probes)
    again = calibration.calibrate(model, SPEC, 2, tmp_path, lambda *_: None)
    assert list(again.samples) == list(found.samples)
    for name, sample in found.samples.items():
        assert np.array_equal(again.samples[name].values, sample.values)
        assert again.samples[name].values.dtype == sample.values.dtype
    for ours, theirs in zip(again.probes, found.probes, strict=True):
        assert torch.equal(ours["sample"], theirs["sample"])
        assert ours["sample"].stride() == theirs["sample"].stride()


@pytest.mark.parametrize(
    ("calls", "places"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (9, [1, 4, 7]), (50, [8, 24, 41])]
)
def test_probes_are_spread_evenly(calls: int, places: list[int]) -> None:
    recorder = calibration._Recorder()
    recorder.calls = [{"call": i} for i in range(calls)]
    assert [probe["call"] for probe in recorder.probes()] == places


def test_probes_of_a_transformer_and_of_guidance() -> None:
    class Transformer(torch.nn.Module):
        def forward(self, hidden_states: torch.Tensor, timestep: Any, extra: Any = None, **kwargs: Any) -> None:
            """Nothing."""

    recorder, x = calibration._Recorder(), torch.arange(6.0).reshape(6, 1)
    recorder(Transformer(), (x,), {"timestep": torch.tensor(3), "extra": {"ids": x, "n": 4}, "flag": False})
    (call,) = recorder.calls
    assert call["hidden_states"].tolist() == [[0], [3]]  # an image of the unconditional half, and one of the other
    assert call["extra"]["ids"].tolist() == [[0], [3]]
    assert (call["extra"]["n"], call["flag"], int(call["timestep"])) == (4, False, 3)


# --- what is refused, and before what ---

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no row": (lambda: request(rows=()), "there is nothing to simulate"),
    "twice": (lambda: request(row(), row()), "'int4/int8' is given twice"),
    "twice but for capitals": (lambda: request(row(), row(label="INT4/int8")), "is given twice"),
    "twice as a file": (lambda: request(row(), row(label="int4 int8")), "is given twice"),
    "the reference": (lambda: row(label="full precision"), "cannot name a quantization"),
    "the reference's file": (lambda: row(label="Full-Precision"), "cannot name a quantization"),
    "the calibration": (lambda: row(label="calibration"), "cannot name a quantization"),
    "the configuration": (lambda: row(label="config.json"), "cannot name a quantization"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_requests(case: str) -> None:
    build, wanted = REFUSED[case]
    with pytest.raises(FpsimError, match=wanted):
        build()


BEFORE_WORK = {
    "a glob": (request(row("int4", "int8", None, "conv_inn")), "the nearest layer is 'conv_in'"),
    "a scheduler": (request(spec=replace(SPEC, scheduler="dimm")), "unknown scheduler 'dimm'"),
    "too many steps": (request(spec=replace(SPEC, steps=1001)), "1001 steps are more than the 1000"),
    "prompts": (request(spec=replace(SPEC, prompts=("a",))), "takes no prompts"),
    "guidance": (request(spec=replace(SPEC, guidance_scale=2.0)), "has no guidance"),
}


@pytest.mark.parametrize("case", BEFORE_WORK)
def test_refused_before_any_work(case: str, model: LoadedModel, tmp_path: Path) -> None:
    wrong, wanted = BEFORE_WORK[case]
    with pytest.raises(FpsimError, match=wanted):
        simulate(wrong, model, tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()  # so that the corrected command may use the same folder


CHANGES = {
    "batch_size": {"spec": replace(SPEC, batch_size=3)},
    "seed": {"spec": replace(SPEC, seed=1)},
    "steps": {"spec": replace(SPEC, steps=2)},
    "scheduler": {"spec": replace(SPEC, scheduler="euler")},
    "act_scales": {"act_scales": "dynamic"},
    "calibration_images": {"calibration_images": 3},
    "backend": {"backend": "torch"},
    "policies": {"rows": (row(), row("e4m3", "e4m3"))},
}


@pytest.mark.parametrize("key", CHANGES)
def test_another_run_in_the_same_folder_is_refused(key: str, done: Any, model: LoadedModel) -> None:
    rows = (row(), row("e4m3", "e4m3", None, "conv_in"))
    with pytest.raises(FpsimError, match=f"already holds another run .*{key}"):
        simulate(replace(request(*rows), **CHANGES[key]), model, done[1], quiet)


def test_the_name_of_the_models_own_scheduler_is_the_same_run(done: Any, model: LoadedModel) -> None:
    rows = (row(), row("e4m3", "e4m3", None, "conv_in"))
    assert simulate(request(*rows, spec=replace(SPEC, scheduler=None)), model, done[1], quiet) == done[0]


@pytest.mark.parametrize("file", ["samples.npz", "samples.json", "probes.pt"])
def test_a_damaged_calibration_is_named(file: str, model: LoadedModel, tmp_path: Path) -> None:
    calibration.calibrate(model, SPEC, 1, tmp_path, lambda *_: None)
    (tmp_path / file).write_bytes(b"{ broken")
    with pytest.raises(FpsimError, match="delete it and run again") as caught:
        calibration.calibrate(model, SPEC, 1, tmp_path, lambda *_: None)
    assert "\n" not in str(caught.value)


def test_images_too_small_for_the_scores_are_refused_before_the_rows(tmp_path: Path, model: LoadedModel) -> None:
    unet: Any = model.denoiser
    small = replace(model, denoiser=unet)
    kept = unet.config.sample_size
    unet.register_to_config(sample_size=8)
    told: list[str] = []
    try:
        with pytest.raises(FpsimError, match="8 x 8"):
            simulate(request(), small, tmp_path, lambda what, *_: told.append(what))
    finally:
        unet.register_to_config(sample_size=kept)
    assert set(told) == {"full precision"}


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
