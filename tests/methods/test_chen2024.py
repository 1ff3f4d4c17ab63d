"""The method of Chen et al. 2024: searched formats, learned rounding of few-bit weights, and runs that go on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from chen2024_checks import Stop, stop_after
from simulation_checks import SPEC, quiet, request, row

import fpsim
from fpsim import FpsimError, Policy
from fpsim.methods import chen2024, rounding_run
from fpsim.methods.job import Job
from fpsim.methods.request import Row
from fpsim.methods.rounding_calls import FIRST_INDEX, record_calls
from fpsim.methods.simulation import simulate
from fpsim.model.grams import capture_grams
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.quant import policy_toml
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic

QUICK = {"rounding_iters": 20, "rounding_samples": 1}


def job(model: LoadedModel, folder: Path, policy: Policy | None = None, **options: Any) -> Job:
    given = {**QUICK, **options}
    return Job(
        model=model,
        policy=policy or Policy.uniform("e2m1", weights_granularity="tensor"),
        samples=None,
        spec=SPEC,
        settings=chen2024.settings(given, model.kind, SPEC.steps),
        folder=folder,
        label="fp4/fp8",
        progress=quiet,
    )


@pytest.mark.parametrize("reconstruct", ["layer", "block"])
def test_learned_weights_lower_the_outputs_error(reconstruct: str, model: LoadedModel, tmp_path: Path) -> None:
    options = {"format_search": False, "reconstruct": reconstruct, "rounding_iters": 40}
    before = {name: p.clone() for name, p in model.denoiser.named_parameters()}
    with chen2024.attach(job(model, tmp_path, **options)) as handle:
        learned = {name: operand.rounded for name, operand in handle.weights.items()}
        assert len(handle.coverage.quantized) == len(learned) > 20
        assert all("learned rounding" in str(layer.weights) for layer in handle.coverage.quantized)
    with fpsim.quantize_(model.denoiser, job(model, tmp_path).policy) as handle:
        nearest = {name: operand.rounded for name, operand in handle.weights.items()}
        for name, operand in handle.weights.items():
            assert torch.equal(operand.quantizer(learned[name]), learned[name])
    record = json.loads((tmp_path / "rounding.json").read_text())["rounding"]
    assert record["nearest"] == {}
    assert list(record["layers"]) == list(learned)
    for name, figures in record["layers"].items():
        assert figures["loss_learned"] <= figures["loss_nearest"]
        assert (figures["changed"] > 0) == (not torch.equal(learned[name], nearest[name]))
    better = [f["loss_learned"] <= 0.9 * f["loss_nearest"] for f in record["layers"].values()]
    assert sum(better) > len(better) / 2
    if reconstruct == "layer":
        _check_on_other_noise(model, learned, nearest)
    assert all(torch.equal(p, before[name]) for name, p in model.denoiser.named_parameters())


def _check_on_other_noise(model: LoadedModel, learned: Any, nearest: Any) -> None:
    calls = record_calls(model, SPEC, 1, lambda *_: None, first=FIRST_INDEX + 1000)
    lower = 0
    for name, gram in capture_grams(model.denoiser, list(learned), calls).items():
        exact = dict(quantizable(model.denoiser))[name].weight.detach()  # type: ignore[operator]
        form = quadratic(gram, exact)
        ours, theirs = (
            mean_squared_error(form, as_matrices((w[name] - exact).double(), len(gram.hessian)))
            for w in (learned, nearest)
        )
        lower += ours < theirs
    assert lower > 0.9 * len(learned)


def test_formats_are_searched_by_their_width(model: LoadedModel, tmp_path: Path) -> None:
    policy = Policy.uniform("e2m1", "e4m3", weights_granularity="tensor").skip("conv_in")
    layers = dict(quantizable(model.denoiser))
    given = job(model, tmp_path, policy.rule("conv_out", weights=None, acts=policy.rules[0].acts), rounding_iters=0)
    with chen2024.attach(given) as handle:
        found = policy_toml.loads(json.loads((tmp_path / "rounding.json").read_text())["policy"])
        for name, module in layers.items():
            spec = found.layer(name).weights
            if name in ("conv_in", "conv_out"):
                assert spec is None
                continue
            assert spec is not None
            weight: Any = module.weight
            best = fpsim.search_format(weight.detach(), 4)  # type: ignore[attr-defined]
            assert spec.format == best.format
            assert spec.scale == "none"
            assert handle.weights[name].quantizer.format == best.format
        assert found.layer("conv_out").acts == policy.rules[0].acts  # dynamic scales: nothing to search in


def test_only_few_bits_are_learned_unless_all_are_asked_for(model: LoadedModel, tmp_path: Path) -> None:
    wide = Policy.uniform("e4m3", weights_granularity="tensor").rule(
        "conv_out", weights=Policy.uniform("int4").rules[0].weights, acts=None
    )
    chen2024.attach(job(model, tmp_path / "few", wide, rounding_iters=0)).remove()
    assert [file.name for file in (tmp_path / "few/rounding").iterdir()] == ["conv_out.safetensors"]
    chen2024.attach(job(model, tmp_path / "all", wide, rounding_iters=0, rounding_for="all")).remove()
    assert len(list((tmp_path / "all/rounding").iterdir())) == len(dict(quantizable(model.denoiser)))


def test_nothing_to_learn_needs_no_calibration(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chen2024, "record_calls", None)
    chen2024.attach(job(model, tmp_path, Policy.uniform("int8"))).remove()


@pytest.mark.parametrize("reconstruct", ["layer", "block"])
def test_an_interrupted_run_goes_on(
    reconstruct: str, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"reconstruct": reconstruct, "rounding_iters": 5}
    chen2024.attach(job(model, tmp_path / "whole", **options)).remove()
    name = "learn_rounding" if reconstruct == "layer" else "learn_block"
    original: Callable[..., Any] = getattr(rounding_run, name)
    with monkeypatch.context() as patch:
        stop_after(patch, rounding_run, name, 5)
        with pytest.raises(Stop):
            chen2024.attach(job(model, tmp_path / "parts", **options))
    finished = len(list((tmp_path / "parts/rounding").iterdir()))
    assert finished >= 5
    learned: list[int] = []
    monkeypatch.setattr(rounding_run, name, lambda *args: (learned.append(1), original(*args))[1])
    told: list[tuple[str, int, int]] = []
    again = replace(job(model, tmp_path / "parts", **options), progress=lambda *a: told.append(a))
    chen2024.attach(again).remove()
    files = sorted(file.name for file in (tmp_path / "whole/rounding").iterdir())
    assert len(learned) < len(files)
    assert told[-1] == ("fp4/fp8: rounding", 1000, 1000)
    for file in files:
        assert (tmp_path / "whole/rounding" / file).read_bytes() == (tmp_path / "parts/rounding" / file).read_bytes()
    learned.clear()
    chen2024.attach(job(model, tmp_path / "parts", **options)).remove()
    assert learned == []


@pytest.mark.parametrize("content", [b"", b"{ broken", b"\x10\0\0\0\0\0\0\0{}              "])
def test_a_damaged_layer_is_named(content: bytes, model: LoadedModel, tmp_path: Path) -> None:
    chen2024.attach(job(model, tmp_path, rounding_iters=0)).remove()
    (tmp_path / "rounding" / "conv_in.safetensors").write_bytes(content)
    with pytest.raises(FpsimError, match=r"conv_in\.safetensors is damaged .*delete it and run again") as caught:
        chen2024.attach(job(model, tmp_path, rounding_iters=0))
    assert "\n" not in str(caught.value)


def test_a_simulation_with_the_method(model: LoadedModel, tmp_path: Path) -> None:
    policy = Policy.uniform("e2m1", "e4m3", weights_granularity="tensor")
    rows = (Row(label="fp4/fp8", policy=policy, weights="e2m1", acts="e4m3"), row("e4m3", "e4m3"))
    given = request(*rows, method="chen2024", method_options=QUICK)
    run = simulate(given, model, tmp_path / "learned", quiet)
    said = run["quantization"]
    assert (said["method"], said["iterations"], said["samples_per_step"], said["batch_size"]) == ("chen2024", 20, 1, 16)
    learned, wide = run["rows"]
    assert "e1m2-none" in learned["weights"]
    assert learned["weights"].endswith("searched")
    assert len(learned["rounding"]["layers"]) == len(learned["layers"])
    assert "bias = " in learned["policy"]
    assert wide["rounding"]["layers"] == {}
    nearest = simulate(request(rows[0]), model, tmp_path / "nearest", quiet)
    assert nearest["quantization"]["method"] == "rtn"
    assert learned["psnr_db"]["mean"] > nearest["rows"][0]["psnr_db"]["mean"] + 1
    assert simulate(given, model, tmp_path / "learned", quiet) == run
    with pytest.raises(FpsimError, match=r"another run .*iterations 20 there, 21 now"):
        simulate(replace(given, method_options={**QUICK, "rounding_iters": 21}), model, tmp_path / "learned", quiet)
    with pytest.raises(FpsimError, match="another run"):
        simulate(replace(given, method="rtn", method_options={}), model, tmp_path / "learned", quiet)
