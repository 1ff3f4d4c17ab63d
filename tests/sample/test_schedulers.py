"""Schedulers by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, FlowMatchEulerDiscreteScheduler, PNDMScheduler

from fpsim.errors import FpsimError
from fpsim.model.load import LoadedModel
from fpsim.sample import schedulers
from fpsim.sample.denoise import sample_batch
from fpsim.sample.spec import SampleSpec

OWN = DDIMScheduler(num_train_timesteps=500, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")


@pytest.mark.parametrize("name", sorted(schedulers.NAMES))
def test_every_name_keeps_the_training_schedule(name: str) -> None:
    made = schedulers.make(name, OWN)
    assert type(made).__name__ == schedulers.NAMES[name]
    assert (made.config.num_train_timesteps, made.config.prediction_type) == (500, "v_prediction")
    assert torch.equal(made.alphas_cumprod, OWN.alphas_cumprod)


@pytest.mark.parametrize("name", sorted(schedulers.NAMES))
def test_every_name_samples(model: Callable[[str], LoadedModel], name: str) -> None:
    """Sixteen steps: with few steps the ancestral ones diverge on a cosine schedule, which is an error elsewhere."""
    spec = SampleSpec(steps=16, num_images=2, batch_size=2, seed=0, scheduler=name)
    first = sample_batch(model("ddpm"), spec, range(2))
    assert first.shape == (2, 8, 8, 3)
    assert np.ptp(first) > 20
    assert np.array_equal(sample_batch(model("ddpm"), spec, range(2)), first)


@pytest.mark.parametrize("name", ["DDIMScheduler", "ddimscheduler", "DDIM", " ddim "])
def test_names_in_any_case(name: str) -> None:
    assert schedulers.class_name(name) == "DDIMScheduler"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("dimm", "ddim"), ("eulr", "euler"), ("HeunScheduler", "heun"), ("UniPCMultistep", "unipc"), ("dpm+", "dpm++")],
)
def test_unknown_names(name: str, nearest: str) -> None:
    with pytest.raises(FpsimError, match="unknown scheduler") as caught:
        schedulers.class_name(name)
    assert f"did you mean {nearest!r}?" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_none_keeps_the_models_own() -> None:
    own = PNDMScheduler(skip_prk_steps=True, beta_schedule="scaled_linear")
    made = schedulers.make(None, own)
    assert type(made) is PNDMScheduler
    assert made is not own
    assert made.config == own.config


def test_the_models_own_scheduler_is_left_alone() -> None:
    before = dict(OWN.config)
    schedulers.set_steps(schedulers.make("heun", OWN), 7)
    assert OWN.num_inference_steps is None
    assert dict(OWN.config) == before


@pytest.mark.parametrize(
    ("own", "steps", "text"),
    [
        (DDPMScheduler(), 1001, "1001 steps are more than the 1000 timesteps that the model was trained on"),
        (PNDMScheduler(), 3, "needs at least 4 steps, not 3"),
        (DDIMScheduler(timestep_spacing="nowhere"), 5, r"DDIMScheduler cannot take 5 steps \(nowhere"),
    ],
)
def test_steps_that_a_scheduler_cannot_take(own: object, steps: int, text: str) -> None:
    with pytest.raises(FpsimError, match=text):
        schedulers.set_steps(own, steps)


def test_a_flow_matching_model_keeps_its_scheduler() -> None:
    own = FlowMatchEulerDiscreteScheduler()
    assert type(schedulers.make(None, own)) is FlowMatchEulerDiscreteScheduler
    with pytest.raises(FpsimError, match="'ddim' does not fit this model"):
        schedulers.make("ddim", own)
