"""Loading: what each kind of model becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from load_checks import WEIGHTS, change_json
from safetensors.torch import load_file, save_file
from tiny_folders import TinyFolders

from fpsim.model.load import load
from fpsim.model.quiet import quiet


@pytest.mark.parametrize(
    ("name", "kind", "denoiser", "scheduler", "vae"),
    [
        ("bare", "unconditional", "UNet2DModel", "DDIMScheduler", "NoneType"),
        ("ddpm", "unconditional", "UNet2DModel", "DDPMScheduler", "NoneType"),
        ("ddpm-flat", "unconditional", "UNet2DModel", "DDPMScheduler", "NoneType"),
        ("ddim", "unconditional", "UNet2DModel", "DDIMScheduler", "NoneType"),
        ("ldm", "latent-unconditional", "UNet2DModel", "DDIMScheduler", "VQModel"),
        ("sd", "text-to-image", "UNet2DConditionModel", "PNDMScheduler", "AutoencoderKL"),
        ("sdxl", "text-to-image", "UNet2DConditionModel", "EulerDiscreteScheduler", "AutoencoderKL"),
    ],
)
def test_each_kind(tiny: TinyFolders, name: str, kind: str, denoiser: str, scheduler: str, vae: str) -> None:
    folder = tiny(name)
    model = load(str(folder))
    types = [type(item).__name__ for item in (model.denoiser, model.scheduler, model.vae)]
    assert (model.kind, *types) == (kind, denoiser, scheduler, vae)
    assert (model.pipeline is None) == (name == "bare")
    assert (model.name, model.requested, model.source) == (folder.name, str(folder), f"folder {folder.name}")
    weights = folder / (WEIGHTS if name in ("bare", "ddpm-flat") else f"unet/{WEIGHTS}")
    stored, loaded = load_file(weights), model.denoiser.state_dict()
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(stored[key].float(), loaded[key]) for key in stored)
    assert model.parameters == sum(tensor.numel() for tensor in stored.values())
    assert not model.denoiser.training


def test_the_scheduler_of_a_bare_model_is_the_one_beside_it(tiny: TinyFolders) -> None:
    config = load(str(tiny("bare"))).scheduler.config
    assert (config.beta_schedule, config.prediction_type, config.clip_sample) == (
        "squaredcos_cap_v2",
        "v_prediction",
        True,
    )


def test_fingerprint_depends_on_the_weights_alone(tiny: TinyFolders, copy: Callable[[str], Path]) -> None:
    assert load(str(tiny("ddpm"))).sha256 == load(str(tiny("ddpm-flat"))).sha256
    assert load(str(tiny("ddpm")), dtype="bfloat16").sha256 == load(str(tiny("ddpm"))).sha256
    folder = copy("bare")
    before = load(str(folder)).sha256
    weights = load_file(folder / WEIGHTS)
    weights["conv_out.bias"][0] += 1
    save_file(weights, folder / WEIGHTS)
    assert load(str(folder)).sha256 != before


@pytest.mark.parametrize("name", ["bare", "ldm", "sdxl"])
def test_dtype_applies_to_every_network(tiny: TinyFolders, name: str) -> None:
    model = load(str(tiny(name)), dtype="bfloat16")
    networks = [model.denoiser] if model.pipeline is None else model.pipeline.components.values()
    dtypes = {p.dtype for net in networks if isinstance(net, torch.nn.Module) for p in net.parameters()}
    assert dtypes == {torch.bfloat16}


def test_safety_checker_and_feature_extractor_are_not_needed(copy: Callable[[str], Path]) -> None:
    folder = copy("sd")
    change_json(
        folder / "model_index.json",
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor=["transformers", "CLIPImageProcessor"],
        requires_safety_checker=True,
    )
    pipeline = load(str(folder)).pipeline
    assert pipeline is not None
    assert pipeline.safety_checker is None
    assert pipeline.feature_extractor is None


@pytest.mark.parametrize("name", ["bare", "ddpm", "ldm", "sd", "sdxl"])
def test_loading_prints_nothing(
    tiny: TinyFolders, name: str, capfd: pytest.CaptureFixture[str], warnings_said: list[str]
) -> None:
    folder = str(tiny(name))
    capfd.readouterr()
    load(folder, dtype="bfloat16")
    assert capfd.readouterr() == ("", "")
    assert warnings_said == []


def test_quiet_puts_everything_back() -> None:
    log = diffusers.utils.logging
    log.set_verbosity_info()
    try:
        with quiet():
            assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (log.ERROR, False)
        assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (log.INFO, True)
    finally:
        log.set_verbosity_warning()
