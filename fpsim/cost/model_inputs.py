"""The inputs that networks of diffusion pipelines expect, as empty tensors on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fpsim.cost.modules import Inputs
from fpsim.errors import FpsimError

#: Tokens of a CLIP text encoder, and what pipelines give to a T5 one.
CLIP_TOKENS, T5_TOKENS = 77, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a config does not say about the inputs.

    Attributes:
        batch: samples.
        latent: (height, width) of a denoiser's input; None for what it was trained with.
        tokens: of the text; None for what the pipeline gives.
    """

    batch: int
    latent: tuple[int, int] | None = None
    tokens: int | None = None


Config = Mapping[str, Any]
Make = Callable[[Config, Sizes], Inputs]


def _grid(config: Config, sizes: Sizes) -> tuple[int, int]:
    size = sizes.latent if sizes.latent is not None else config.get("sample_size")
    if size is None:
        raise FpsimError("the config has no sample_size; give the latent size as latent=(height, width)")
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def unet(config: Config, sizes: Sizes) -> Inputs:
    """Noisy samples and time steps of a U-Net, and labels if it has classes."""
    inputs: dict[str, Any] = {
        "sample": _empty(sizes.batch, config["in_channels"], *_grid(config, sizes)),
        "timestep": _labels(sizes.batch),
    }
    if config.get("num_class_embeds") or config.get("class_embed_type"):
        inputs["class_labels"] = _labels(sizes.batch)
    return inputs


def conditional_unet(config: Config, sizes: Sizes) -> Inputs:
    """Those of a U-Net, and the text's states."""
    width = config.get("encoder_hid_dim") or config["cross_attention_dim"]
    inputs: dict[str, Any] = {
        **dict(unet(config, sizes)),
        "encoder_hidden_states": _empty(sizes.batch, sizes.tokens or CLIP_TOKENS, width),
    }
    if config.get("addition_embed_type") == "text_time":
        pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        inputs["added_cond_kwargs"] = {"text_embeds": _empty(sizes.batch, pooled), "time_ids": _empty(sizes.batch, 6)}
    return inputs


def dit(config: Config, sizes: Sizes) -> Inputs:
    """Latents, time steps and labels of a DiT."""
    return {
        "hidden_states": _empty(sizes.batch, config["in_channels"], *_grid(config, sizes)),
        "timestep": _labels(sizes.batch),
        "class_labels": _labels(sizes.batch),
    }


def flux(config: Config, sizes: Sizes) -> Inputs:
    """Latents packed into tokens, two texts, positions, and the guidance that a distilled model gets."""
    height, width = _grid(config, sizes)
    image, text = (height // 2) * (width // 2), sizes.tokens or T5_TOKENS  # latents are packed 2×2 into tokens
    inputs = {
        "hidden_states": _empty(sizes.batch, image, config["in_channels"]),
        "encoder_hidden_states": _empty(sizes.batch, text, config["joint_attention_dim"]),
        "pooled_projections": _empty(sizes.batch, config["pooled_projection_dim"]),
        "timestep": _empty(sizes.batch),
        "img_ids": _empty(image, 3),
        "txt_ids": _empty(text, 3),
    }
    return inputs | ({"guidance": _empty(sizes.batch)} if config.get("guidance_embeds") else {})


def sd3(config: Config, sizes: Sizes) -> Inputs:
    """Latents, text and pooled text of an MMDiT."""
    text = sizes.tokens or CLIP_TOKENS + 256  # CLIP's tokens and those of T5, one after the other
    return {
        "hidden_states": _empty(sizes.batch, config["in_channels"], *_grid(config, sizes)),
        "encoder_hidden_states": _empty(sizes.batch, text, config["joint_attention_dim"]),
        "pooled_projections": _empty(sizes.batch, config["pooled_projection_dim"]),
        "timestep": _labels(sizes.batch),
    }


def clip(config: Config, sizes: Sizes) -> Inputs:
    """Token ids of a CLIP text encoder."""
    return {"input_ids": _labels(sizes.batch, sizes.tokens or config.get("max_position_embeddings", CLIP_TOKENS))}


def t5(config: Config, sizes: Sizes) -> Inputs:
    """Token ids of a T5 encoder."""
    return {"input_ids": _labels(sizes.batch, sizes.tokens or T5_TOKENS)}


def latents(config: Config, sizes: Sizes) -> Inputs:
    """What a decoder makes an image of."""
    if sizes.latent is None:
        raise FpsimError("the latent size of the decoder is not known; give it as latent=(height, width)")
    return (_empty(sizes.batch, config["latent_channels"], *sizes.latent),)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _labels(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta", dtype=torch.int64)
