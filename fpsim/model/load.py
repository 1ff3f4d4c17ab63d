"""Load the diffusion model that a name stands for."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from fpsim.errors import FpsimError
from fpsim.model.components import load_bare, load_pipeline
from fpsim.model.locate import locate
from fpsim.model.quiet import quiet
from fpsim.model.weights_check import fingerprint

Kind = Literal["unconditional", "latent-unconditional", "text-to-image"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A diffusion model that is ready to be sampled.

    Attributes:
        name: The real name: the alias ``bundled`` is resolved, a folder is called by its own name.
        requested: What the user asked for.
        kind: How it is sampled.
        denoiser: The network that is called at each step (UNet2DModel, UNet2DConditionModel, or a transformer).
        scheduler: The model's own diffusers scheduler; it says how the model was trained.
        pipeline: The diffusers pipeline, or None for a bare UNet.
        vae: The autoencoder (KL or VQ) whose latent space the denoiser works in, or None.
        source: How it was found, without any absolute path.
        sha256: Fingerprint of the denoiser's weights as they were read, before ``dtype`` was applied.
        parameters: How many parameters the denoiser has.
    """

    name: str
    requested: str
    kind: Kind
    denoiser: Any
    scheduler: Any
    pipeline: Any | None
    vae: Any | None
    source: str
    sha256: str
    parameters: int


def load(
    requested: str, *, dtype: str = "float32", device: str = "cpu", bundled_folder: Path | None = None
) -> LoadedModel:
    """Load a model by its bundled name, its folder or its Hugging Face id; never from pickled weights.

    Args:
        requested: ``bundled``, ``cifar10-32``, ``fashion-28``; a pipeline folder (``model_index.json``) or a folder
            with a bare UNet2DModel; or ``org/name``, from the local cache or downloaded into it.
        dtype: ``float32`` or ``bfloat16``, for every network of the model.
        device: A torch device such as ``cpu`` or ``cuda``.
        bundled_folder: Where the bundled models are; the package's own without it.

    Raises:
        FpsimError: The model cannot be found, read or sampled, its weights are incomplete or not finite, or the dtype
            or device is not available.
    """
    target, precision = _device(device), _dtype(dtype)
    found = locate(requested, bundled_folder=bundled_folder)
    pipeline = None
    if (found.folder / "model_index.json").is_file():
        pipeline = load_pipeline(found.folder)
        denoiser, scheduler = _denoiser(pipeline), pipeline.scheduler
    else:
        denoiser, scheduler = load_bare(found.folder)
    kind = _kind(denoiser, pipeline)
    sha256 = fingerprint(denoiser)
    with quiet():
        (denoiser if pipeline is None else pipeline).to(device=target, dtype=precision)
    return LoadedModel(
        name=found.name,
        requested=requested,
        kind=kind,
        denoiser=denoiser,
        scheduler=scheduler,
        pipeline=pipeline,
        vae=getattr(pipeline, "vqvae", None) or getattr(pipeline, "vae", None),
        source=found.source,
        sha256=sha256,
        parameters=sum(parameter.numel() for parameter in denoiser.parameters()),
    )


def _denoiser(pipeline: Any) -> Any:
    for name in ("unet", "transformer"):
        module = getattr(pipeline, name, None)
        if isinstance(module, torch.nn.Module):
            return module
    raise FpsimError(f"a {type(pipeline).__name__} has neither a unet nor a transformer: pass another model")


def _kind(denoiser: Any, pipeline: Any | None) -> Kind:
    """How a model is sampled; refuses the kinds that need an input which no option gives."""
    call = {} if pipeline is None else inspect.signature(type(pipeline).__call__).parameters
    if "prompt" in call and "image" not in call and "control_image" not in call:
        return "text-to-image"
    what = type(denoiser).__name__ if pipeline is None else type(pipeline).__name__
    if "prompt" in call or type(denoiser).__name__ != "UNet2DModel":
        raise FpsimError(
            f"a {what} cannot be sampled from noise and prompts alone: pass an unconditional, latent (LDM) or "
            "text-to-image model"
        )
    if denoiser.config.num_class_embeds is not None or denoiser.config.class_embed_type is not None:
        raise FpsimError(f"this {what} needs class labels: pass an unconditional or text-to-image model")
    if denoiser.config.sample_size is None:
        raise FpsimError(f"the config of this {what} has no sample_size: add the image size it was trained for")
    has_decoder = any(getattr(pipeline, name, None) is not None for name in ("vqvae", "vae"))
    return "latent-unconditional" if has_decoder else "unconditional"


def _dtype(name: str) -> torch.dtype:
    if name not in DTYPES:
        raise FpsimError(f"unknown dtype {name!r}: choose {' or '.join(DTYPES)}")
    return DTYPES[name]


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise FpsimError(f"unknown device {name!r}: choose cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise FpsimError(f"device {name!r} is not supported: choose cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise FpsimError(f"device {name!r} is not there ({torch.cuda.device_count()} CUDA devices): use cpu")
    return device
