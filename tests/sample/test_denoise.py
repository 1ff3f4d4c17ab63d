"""Sampling one batch: against diffusers' own pipelines, and deterministic."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sample_checks import PROMPTS, SPEC, Models, interrupt, spec_for

from fpsim.errors import FpsimError
from fpsim.model.load import load
from fpsim.sample.denoise import sample_batch, to_uint8
from fpsim.sample.noise import generators, initial_noise
from fpsim.sample.observe import StepRecord


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("bare", (2, 8, 8, 1)),
        ("ddpm", (2, 8, 8, 3)),
        ("ddim", (2, 8, 8, 1)),
        ("ldm", (2, 16, 16, 3)),
        ("sd", (2, 16, 16, 3)),
        ("sdxl", (2, 16, 16, 3)),
    ],
)
def test_each_kind_samples_the_same_bytes_twice(model: Models, kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(1)
    first = sample_batch(model(kind), spec_for(kind), range(2))
    torch.manual_seed(2)  # the global generator plays no part
    second = sample_batch(model(kind), spec_for(kind), range(2))
    assert (first.shape, first.dtype) == (shape, np.uint8)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, sample_batch(model(kind), spec_for(kind, seed=1), range(2)))


@pytest.mark.parametrize("kind", ["ddpm", "ddim", "ldm", "sd", "sdxl"])
def test_same_images_as_the_pipelines_own_call(model: Models, kind: str) -> None:
    """The pipeline is diffusers' code from noise to pixels, with the same generators."""
    prompts = {"prompt": list(PROMPTS)} if kind.startswith("sd") else {"batch_size": 2}
    expected = (
        model(kind)
        .pipeline(**prompts, num_inference_steps=3, generator=generators(0, range(2)), output_type="np")
        .images
    )
    assert np.array_equal(sample_batch(model(kind), spec_for(kind), range(2)), to_uint8(expected))


@pytest.mark.parametrize("kind", ["sd", "sdxl"])
def test_prompts_and_guidance_change_the_image(model: Models, kind: str) -> None:
    first = sample_batch(model(kind), spec_for(kind), range(2))
    other = sample_batch(model(kind), spec_for(kind, prompts=("red dog", "red dog")), range(2))
    assert np.array_equal(first[0], other[0])
    assert not np.array_equal(first[1], other[1])
    assert not np.array_equal(first, sample_batch(model(kind), spec_for(kind, guidance_scale=2.0), range(2)))


def test_prompts_must_fit(model: Models) -> None:
    with pytest.raises(FpsimError, match="needs prompts"):
        sample_batch(model("sd"), SPEC, range(2))
    with pytest.raises(FpsimError, match="takes no prompts"):
        sample_batch(model("ldm"), spec_for("sd"), range(2))
    with pytest.raises(FpsimError, match="no image index"):
        sample_batch(model("ldm"), SPEC, range(0))


@pytest.mark.parametrize("scheduler", ["ddpm", "euler-a", "sa-solver"])
@pytest.mark.parametrize("kind", ["ddpm", "sd"])
def test_the_noise_of_each_step_is_the_images_own(model: Models, kind: str, scheduler: str) -> None:
    spec = spec_for(kind, scheduler=scheduler, num_images=4, batch_size=4)
    whole = sample_batch(model(kind), spec, range(4)).astype(int)
    alone = np.concatenate([sample_batch(model(kind), spec, range(i, i + 1)) for i in range(4)]).astype(int)
    assert np.abs(whole - alone).max() <= 2  # other noise would change most pixels by tens
    assert np.abs(whole[0] - whole[1]).max() > 20


@pytest.mark.parametrize("kind", ["bare", "ddpm", "ldm", "sd", "sdxl"])
def test_the_start_does_not_depend_on_the_batch_size(model: Models, kind: str) -> None:
    def first_inputs(size: int) -> np.ndarray:
        records: list[StepRecord] = []
        no_guidance = 1.0 if kind.startswith("sd") else None
        spec = spec_for(kind, num_images=4, batch_size=size, steps=1, guidance_scale=no_guidance)
        for indices in spec.batches():
            sample_batch(model(kind), spec, indices, observer=records.append)
        return np.concatenate([record.latents for record in records if record.step == 0])

    assert len(first_inputs(1)) == 4
    assert np.array_equal(first_inputs(1), first_inputs(4))


@pytest.mark.parametrize("scheduler", ["euler", "heun", "dpm++"])
def test_the_start_has_the_schedulers_own_scale(model: Models, scheduler: str) -> None:
    """Whatever its sigma, a scheduler hands the denoiser standard normal noise at first."""
    records: list[StepRecord] = []
    sample_batch(model("ddpm"), replace(SPEC, scheduler=scheduler), range(2), observer=records.append)
    start = initial_noise(generators(0, range(2)), (3, 8, 8)).numpy()
    np.testing.assert_allclose(records[0].latents, start, rtol=1e-5)


def test_aninterruption_leaves_the_pipeline_as_it_was(model: Models) -> None:
    sd = model("sd")
    own = sd.pipeline.scheduler
    with pytest.raises(KeyboardInterrupt):
        sample_batch(sd, spec_for("sd", scheduler="ddim"), range(2), on_step=interrupt)
    assert sd.pipeline.scheduler is own


def test_the_networks_may_work_in_bfloat16(tiny: Callable[[str], Any], model: Models) -> None:
    for kind in ("ldm", "sd"):
        half = load(str(tiny(kind)), dtype="bfloat16")
        images = sample_batch(half, spec_for(kind), range(2)).astype(int)
        difference = np.abs(images - sample_batch(model(kind), spec_for(kind), range(2)))
        assert 0 < difference.mean() < 12  # the same noise, rounded: close, not equal


def test_nan_is_an_error(model: Models) -> None:
    bare = model("bare")
    broken = replace(bare, denoiser=copy.deepcopy(bare.denoiser))
    with torch.no_grad():
        broken.denoiser.conv_out.bias.fill_(float("nan"))
    with pytest.raises(FpsimError, match="128 of 128 pixel values are NaN"):
        sample_batch(broken, SPEC, range(2))


def test_bytes_round_half_to_even() -> None:
    halves = (np.arange(255, dtype=np.float32) + np.float32(0.5)) / np.float32(255)
    exact = halves * np.float32(255) == np.arange(255) + 0.5
    assert exact.sum() > 100
    assert np.all(to_uint8(halves)[exact] % 2 == 0)
    assert np.array_equal(to_uint8(np.arange(256, dtype=np.float32) / np.float32(255)), np.arange(256))
