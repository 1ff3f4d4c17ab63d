"""Tiny diffusers pipelines with random weights, built and saved locally: no download, a few hundred kB each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    EulerDiscreteScheduler,
    LDMPipeline,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
    VQModel,
)
from tiny_tokenizer import tiny_tokenizer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

COSINE = {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "clip_sample": True}
SD_BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1}


def tiny_unet(*, channels: int = 1, size: int | None = 8, seed: int = 0, **extra: Any) -> UNet2DModel:
    """A UNet2DModel of about 45 k parameters with attention in its lower level."""
    torch.manual_seed(seed)
    return UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=8,
        **extra,
    ).eval()


def save_bare(folder: Path, *, scheduler: bool = True, half: bool = True, seed: int = 0) -> Path:
    """A bare UNet folder as the bundled models have it: config, fp16 weights, scheduler config."""
    unet = tiny_unet(seed=seed)
    (unet.half() if half else unet).save_pretrained(folder)
    if scheduler:
        DDIMScheduler(**COSINE).save_pretrained(folder)
    return folder


def save_ddpm(folder: Path) -> Path:
    """DDPMPipeline: pixel space, RGB, ancestral sampling."""
    DDPMPipeline(tiny_unet(channels=3, seed=1), DDPMScheduler()).save_pretrained(folder)
    return folder


def save_ddpm_flat(folder: Path) -> Path:
    """DDPMPipeline in the old hub layout: weights and both configs beside model_index.json."""
    tiny_unet(channels=3, seed=1).save_pretrained(folder)
    DDPMScheduler().save_pretrained(folder)
    index = {
        "_class_name": "DDPMPipeline",
        "_diffusers_version": "0.0.4",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def save_ddim(folder: Path) -> Path:
    """DDIMPipeline: pixel space, one channel."""
    DDIMPipeline(tiny_unet(seed=2), DDIMScheduler()).save_pretrained(folder)
    return folder


def save_ldm(folder: Path) -> Path:
    """LDMPipeline: a UNet in the latent space of a VQ autoencoder; 3 × 8 × 8 latents, 16 × 16 images."""
    torch.manual_seed(3)
    vqvae = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=3,
        num_vq_embeddings=64,
    ).eval()
    LDMPipeline(vqvae, tiny_unet(channels=3, seed=4), DDIMScheduler(**SD_BETAS)).save_pretrained(folder)
    return folder


def save_sd(folder: Path) -> Path:
    """StableDiffusionPipeline (1.5): CLIP text encoder, classifier-free guidance, KL autoencoder."""
    tokenizer = tiny_tokenizer(folder / "source")
    unet = _conditional_unet(cross_attention_dim=16, seed=5)
    text = _text_encoder(CLIPTextModel, tokenizer, hidden=16, seed=6)
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=PNDMScheduler(skip_prk_steps=True, **SD_BETAS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


def save_sdxl(folder: Path) -> Path:
    """StableDiffusionXLPipeline: two text encoders, the second with a projection, and size conditioning."""
    tokenizer = tiny_tokenizer(folder / "source")
    unet = _conditional_unet(
        cross_attention_dim=32,
        seed=7,
        addition_embed_type="text_time",
        addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=6 * 4 + 16,
    )
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(CLIPTextModel, tokenizer, hidden=16, seed=8),
        text_encoder_2=_text_encoder(CLIPTextModelWithProjection, tokenizer, hidden=16, seed=9),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SD_BETAS),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


BUILDERS: dict[str, Callable[[Path], Path]] = {
    "bare": save_bare,
    "ddpm": save_ddpm,
    "ddpm-flat": save_ddpm_flat,
    "ddim": save_ddim,
    "ldm": save_ldm,
    "sd": save_sd,
    "sdxl": save_sdxl,
}


def _text_encoder(kind: type[Any], tokenizer: CLIPTokenizer, *, hidden: int, seed: int) -> Any:
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        projection_dim=hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval()


def _conditional_unet(*, cross_attention_dim: int, seed: int, **extra: Any) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=cross_attention_dim,
        attention_head_dim=2,
        norm_num_groups=4,
        **extra,
    ).eval()


def _vae() -> AutoencoderKL:
    torch.manual_seed(10)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        latent_channels=4,
    ).eval()
