"""Models by name, from folders, as modules, and at other batches."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from trace_cases import traced

from fpsim.cost.catalogue import lookup, names
from fpsim.cost.operations import KINDS
from fpsim.cost.scaling import scaled
from fpsim.cost.tracing import trace, trace_batches
from fpsim.errors import FpsimError

UNET = {
    "_class_name": "UNet2DModel",
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "attention_head_dim": 4,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [8, 16],
    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "latent_channels": 3,
    "norm_num_groups": 4,
}
CLIP = {
    "architectures": ["CLIPTextModel"],
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 99,
}


def test_the_issues_models_are_known():
    expected = {"sd15", "sd21", "sdxl", "ddim-cifar10", "ldm-bedrooms", "dit-xl-2", "flux-dev", "bundled"}
    assert expected <= set(names())


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl", "flux-dev", "dit-xl-2", "ldm-bedrooms", "ddim-cifar10"])
def test_every_shape_has_a_source(name):
    for part in lookup(name).parts:
        assert part.source.startswith("https://")


def test_a_pipeline_has_its_text_encoder_and_decoder():
    result = traced("sd15")
    assert [item.name for item in result.components] == ["denoiser", "text_encoder", "decoder"]
    assert [item.calls for item in result.components] == [0, 1, 1]
    assert "stable-diffusion-v1-5" in result.source
    assert {item.kind for part in result.components for item in part.operations} == set(KINDS)


def test_the_bundled_model_is_the_packages_own():
    result, real = traced("bundled"), lookup("bundled").title.split(",")[0]
    assert real in names()
    assert result.denoiser == traced(real).denoiser
    assert real in result.source
    assert result.denoiser.parameters > 1e6


def test_an_unknown_name_lists_the_known():
    with pytest.raises(FpsimError, match="did you mean 'sdxl'") as caught:
        trace("sdxll")
    assert all(name in str(caught.value) for name in names())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_needs_a_sample(batch):
    with pytest.raises(FpsimError, match="has no sample"):
        trace("bundled", batch=batch)


def test_a_folder_with_a_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(UNET))
    result = trace(tmp_path, batch=2)
    (conv,) = [item for item in result.denoiser.operations if item.layer == "conv_in"]
    assert conv.gemm == (1, 2 * 64, 8, 27)


def test_a_pipeline_folder(tmp_path):
    index = {
        "_class_name": "Pipeline",
        "vae": ["diffusers", "AutoencoderKL"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "unet": ["diffusers", "UNet2DModel"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "feature_extractor": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for name, config in (("unet", UNET), ("vae", VAE), ("text_encoder", CLIP)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    result = trace(str(tmp_path))
    assert [item.name for item in result.components] == ["denoiser", "text_encoder", "decoder"]
    assert result.components[2].operations[0].gemm == (1, 64, 3, 3)  # post_quant_conv, on 8×8 latents


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "does not name a class"),
        ('{"_class_name": "Nothing"}', "inputs of a Nothing are not known"),
        (json.dumps(VAE), "holds no denoiser"),
        (json.dumps(UNET | {"block_out_channels": [8]}), "cannot be built from its config"),
    ],
)
def test_unusable_folders_are_one_line(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(FpsimError, match=message) as caught:
        trace(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_empty_folder(tmp_path):
    with pytest.raises(FpsimError, match="neither"):
        trace(tmp_path)


def test_a_module_of_a_known_class_knows_its_inputs():
    from diffusers import UNet2DModel

    module = UNet2DModel.from_config({key: value for key, value in UNET.items() if key[0] != "_"})
    result = trace(module, batch=3)
    assert result.name == "UNet2DModel"
    assert result.denoiser.operations[-1].outputs == 3 * 3 * 64


def test_another_module_needs_inputs():
    with pytest.raises(FpsimError, match="inputs of a Linear are not known"):
        trace(nn.Linear(2, 2))
    assert trace(nn.Linear(2, 2), inputs=(torch.empty(1, 2),)).denoiser.operations[0].macs == 4
    with pytest.raises(FpsimError, match="inputs belong to a module"):
        trace("bundled", inputs=(torch.empty(1),))


def test_another_latent_size():
    small = trace("ddim-cifar10", latent=(16, 8)).denoiser
    assert small.operations[-1].outputs == 3 * 16 * 8


@pytest.mark.parametrize("name", ["bundled", "ddim-cifar10", "sd15", "dit-xl-2"])
def test_a_scaled_trace_is_the_trace_of_that_batch(name):
    one, two, three = (traced(name, batch, only_denoiser=True) for batch in (1, 2, 3))
    assert scaled(one, two, 3) == three
    assert scaled(two, three, 1) == one


def test_many_batches_from_two():
    made = trace_batches("bundled", [1, 2, 5, 8])
    assert [item.batch for item in made] == [1, 2, 5, 8]
    assert made[3] == trace("bundled", batch=8)


def test_traces_that_do_not_belong_together():
    one = traced("bundled")
    with pytest.raises(FpsimError, match="do not determine a third"):
        scaled(one, one, 3)
    with pytest.raises(FpsimError, match="has no sample"):
        scaled(one, traced("bundled", 2), 0)
