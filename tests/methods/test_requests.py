"""What a simulation refuses, and before what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from simulation_checks import SPEC, quiet, request, row

from fpsim.errors import FpsimError
from fpsim.methods.simulation import simulate
from fpsim.model.load import LoadedModel

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
