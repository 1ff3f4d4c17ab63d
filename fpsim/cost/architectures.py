"""The classes of diffusers and transformers that are built without weights, and the inputs that each expects."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn

from fpsim.cost.model_inputs import Config, Make, clip, conditional_unet, dit, flux, latents, sd3, t5, unet
from fpsim.cost.quiet import quiet
from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A class.

    Attributes:
        library: ``diffusers`` or ``transformers``.
        role: ``denoiser``, ``text_encoder`` or ``decoder``.
        inputs: makes the arguments from the class's config.
        method: that is called.
        config: the transformers class of its config.
    """

    library: str
    role: str
    inputs: Make
    method: str = "forward"
    config: str = ""


def build(name: str, config: Config) -> nn.Module:
    """Build a module on the meta device.

    Args:
        name: of its class, a key of ``ARCHITECTURES``.
        config: its constructor's values; the defaults of the installed library for what is missing.

    Raises:
        FpsimError: the class is unknown, or refuses the config.
    """
    known = architecture(name)
    library = importlib.import_module(known.library)
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    try:
        with quiet(known.library), torch.device("meta"):
            if known.config:
                module = getattr(library, name)(getattr(library, known.config)(**plain))
            else:
                module = getattr(library, name).from_config(plain)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FpsimError(f"{name} cannot be built from its config ({reason}); correct the config") from error
    built: nn.Module = module.eval()
    return built


def architecture(name: str) -> Architecture:
    """Return what is known of a class.

    Raises:
        FpsimError: nothing is.
    """
    if name not in ARCHITECTURES:
        raise FpsimError(
            f"the inputs of a {name} are not known; trace it with trace_module(module, inputs), or use one of "
            f"{', '.join(ARCHITECTURES)}"
        )
    return ARCHITECTURES[name]


def _denoiser(inputs: Make) -> Architecture:
    return Architecture(library="diffusers", role="denoiser", inputs=inputs)


def _encoder(inputs: Make, config: str) -> Architecture:
    return Architecture(library="transformers", role="text_encoder", inputs=inputs, config=config)


def _decoder() -> Architecture:
    return Architecture(library="diffusers", role="decoder", inputs=latents, method="decode")


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "UNet2DModel": _denoiser(unet),
        "UNet2DConditionModel": _denoiser(conditional_unet),
        "DiTTransformer2DModel": _denoiser(dit),
        "FluxTransformer2DModel": _denoiser(flux),
        "SD3Transformer2DModel": _denoiser(sd3),
        "CLIPTextModel": _encoder(clip, "CLIPTextConfig"),
        "CLIPTextModelWithProjection": _encoder(clip, "CLIPTextConfig"),
        "T5EncoderModel": _encoder(t5, "T5Config"),
        "AutoencoderKL": _decoder(),
        "VQModel": _decoder(),
    }
)
