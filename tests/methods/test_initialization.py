"""The initialization set: what it holds, that rows share it, and what is wrong with one that lacks a timestep."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation_checks import SPEC, quiet, request, row

from fpsim import FpsimError
from fpsim.methods import chen2024, initialization, searched_policy
from fpsim.methods.calibration import calibrate
from fpsim.methods.format_search import init_samples
from fpsim.methods.initialization import initialization_sketches
from fpsim.methods.recorded_calls import run_calibration
from fpsim.methods.simulation import simulate
from fpsim.methods.visited import check_timesteps
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_names import halves
from fpsim.quant.search.sketch import Sketch

TIMES = (666.0, 333.0, 0.0)
QUICK = {"rounding_iters": 0, "rounding_samples": 1, "init_samples": 2}


def test_the_papers_numbers() -> None:
    assert [chen2024.settings({}, kind, 50)["init_samples"] for kind in ("unconditional", "text-to-image")] == [128, 16]
    assert init_samples("latent-unconditional") == 128


def test_all_values_of_all_timesteps(model: LoadedModel, tmp_path: Path) -> None:
    splits = find_splits(model.denoiser, "shortcut")
    found = initialization_sketches(model, SPEC, 3, splits, tmp_path, lambda *_: None, TIMES)
    (name, at), *_ = splits.items()
    seen: dict[str, list[np.ndarray]] = {"conv_in": [], name: []}
    modules = dict(model.denoiser.named_modules())
    hooks = [
        modules[each].register_forward_pre_hook(lambda _, args, each=each: seen[each].append(args[0].numpy().copy()))
        for each in seen
    ]
    with torch.no_grad():
        run_calibration(model, SPEC, 3, lambda *_: None)
    for hook in hooks:
        hook.remove()
    whole = {each: np.concatenate(values) for each, values in seen.items()}
    assert len(whole["conv_in"]) == 3 * len(TIMES)
    parts = dict(zip(halves(name, at), (whole[name][:, :at], whole[name][:, at:]), strict=True))
    for place, values in {"conv_in": whole["conv_in"], **parts}.items():
        exact = Sketch()
        exact.add(values)
        assert all(np.array_equal(exact.arrays()[key], array) for key, array in found[place].whole.arrays().items())
    assert name not in found
    again = initialization_sketches(model, SPEC, 3, splits, tmp_path, lambda *_: None, TIMES)
    assert list(again) == list(found)


def test_memory_does_not_grow_with_the_samples(model: LoadedModel, tmp_path: Path) -> None:
    sizes = []
    for samples in (2, 8):
        initialization_sketches(model, SPEC, samples, {}, tmp_path / str(samples), lambda *_: None)
        found = initialization._read(tmp_path / str(samples) / initialization.FILE)[0]
        sizes.append(max(each.whole.counts.nbytes + each.whole.lows.nbytes for each in found.values()))
        assert found["conv_in"].whole.total == samples * len(TIMES) * 3 * 16 * 16
    assert sizes[0] == sizes[1] <= 4 << 20


def test_rows_share_the_set(model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    original = initialization.run_calibration
    monkeypatch.setattr(initialization, "run_calibration", lambda *a: (ran.append(a[2]), original(*a)))
    rows = (row("e2m1", "e4m3", scale="mse"), row("e4m3", "e4m3", scale="mse"))
    given = request(*rows, method="chen2024", method_options=QUICK)
    run = simulate(given, model, tmp_path, quiet)
    assert ran == [2]
    assert all(each["acts"].endswith(", searched") or "no scale" in each["acts"] for each in run["rows"])


def test_what_is_not_searched_needs_no_set(model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searched_policy, "initialization_sketches", None)
    rows = (row("e2m1", "int8", scale="mse"),)
    simulate(request(*rows, method="chen2024", method_options=QUICK), model, tmp_path, quiet)


@pytest.mark.parametrize("file", ["calibration", "initialization"])
def test_a_set_without_some_timestep(file: str, model: LoadedModel, tmp_path: Path) -> None:
    """As one has it that copies data from a run of fewer steps, or loses some."""
    few = replace(SPEC, steps=2)
    options = {"method": "chen2024", "method_options": QUICK}
    rows = (row("e2m1", "e4m3", scale="mse"),)
    simulate(request(*rows, spec=few, **options), model, tmp_path / "few", quiet)
    simulate(request(*rows, **options), model, tmp_path / "run", quiet)
    for part in ("few", "run"):
        assert (tmp_path / part / "resume/calibration/initialization.npz").is_file()
    shutil.rmtree(tmp_path / "run/resume/e2m1%2Fe4m3")
    pattern = "initialization*" if file == "initialization" else "[ps]*"
    for source in (tmp_path / "few/resume/calibration").glob(pattern):
        shutil.copy(source, tmp_path / "run/resume/calibration")
    with pytest.raises(FpsimError, match=r"lacks timestep 666 \(it has 1 of the run's 3\): delete it and") as caught:
        simulate(request(*rows, **options), model, tmp_path / "run", quiet)
    assert "\n" not in str(caught.value)


def test_timesteps_of_the_calibration_are_kept(model: LoadedModel, tmp_path: Path) -> None:
    assert calibrate(model, SPEC, 1, tmp_path, lambda *_: None).timesteps == TIMES
    record = json.loads((tmp_path / "samples.json").read_text())
    (tmp_path / "samples.json").write_text(json.dumps({**record, "timesteps": [666, 0]}))
    with pytest.raises(FpsimError, match="lacks timestep 333 "):
        calibrate(model, SPEC, 1, tmp_path, lambda *_: None, None, TIMES)


@pytest.mark.parametrize("file", ["initialization.json", "initialization.npz"])
@pytest.mark.parametrize("content", [b"", b"{}", b'{"places": ["x"], "timesteps": "x"}'])
def test_a_damaged_set_is_named(file: str, content: bytes, model: LoadedModel, tmp_path: Path) -> None:
    initialization_sketches(model, SPEC, 1, {}, tmp_path, lambda *_: None)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(FpsimError, match="delete it and run again") as caught:
        initialization_sketches(model, SPEC, 1, {}, tmp_path, lambda *_: None)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 20), max_size=8), st.lists(st.integers(0, 20), max_size=8))
def test_exactly_what_is_missing_is_refused(seen: list[int], wanted: list[int]) -> None:
    if set(wanted) <= set(seen):
        check_timesteps(seen, wanted, "the set")
        return
    with pytest.raises(FpsimError, match=r"^the set lacks timestep"):
        check_timesteps(seen, wanted, "the set")
