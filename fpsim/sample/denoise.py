"""From noise to images: one batch, deterministic."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.model.load import LoadedModel
from fpsim.sample import noise, schedulers
from fpsim.sample.observe import Observer, observing
from fpsim.sample.spec import SampleSpec

OnStep = Callable[[int, int], None]


def sample_batch(
    model: LoadedModel,
    spec: SampleSpec,
    indices: range,
    *,
    observer: Observer | None = None,
    on_step: OnStep | None = None,
) -> NDArray[np.uint8]:
    """Sample the images with the given indices, as one batch.

    The latents stay in float32 between the steps; only the networks work in the model's dtype (a text-to-image
    pipeline keeps its latents in that dtype as well).

    Args:
        model: A loaded model, quantized or not.
        spec: What to sample.
        indices: Image indices, one of ``spec.batches()``.
        observer: Called with a ``StepRecord`` after each call of the denoiser.
        on_step: Called with (finished, total) scheduler steps.

    Returns:
        uint8 [len(indices), height, width, channels].

    Raises:
        FpsimError: The specification does not fit the model, or the images contain NaN.
    """
    spec.check_kind(model.kind)
    if not indices:
        raise FpsimError(f"the batch {indices} has no image index: pass one of spec.batches()")
    device = next(model.denoiser.parameters()).device
    scheduler = schedulers.make(spec.scheduler, model.scheduler)
    schedulers.set_steps(scheduler, spec.steps, device)
    run = _through_pipeline if model.kind == "text-to-image" else _own_loop
    with torch.no_grad(), _reproducible(device), observing(model.denoiser, observer):
        images = run(model, spec, indices, scheduler, on_step or _ignore)
    return to_uint8(images)


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Round images to bytes: clip to [0, 1], times 255, ties to even.

    Raises:
        FpsimError: A pixel is NaN.

    >>> to_uint8(np.array([-1, 0.5 / 255, 1.5 / 255, 0.75, 2], dtype=np.float32)).tolist()
    [0, 0, 2, 191, 255]
    """
    nans = int(np.isnan(images).sum())
    if nans:
        raise FpsimError(
            f"sampling diverged: {nans} of {images.size} pixel values are NaN; choose another scheduler, more steps or "
            "wider formats"
        )
    pixels: NDArray[np.uint8] = np.rint(np.clip(images, 0, 1) * np.float32(255)).astype(np.uint8)
    return pixels


def _own_loop(
    model: LoadedModel, spec: SampleSpec, indices: range, scheduler: Any, on_step: OnStep
) -> NDArray[np.float32]:
    denoiser = model.denoiser
    sources = noise.generators(spec.seed, indices)
    start = noise.initial_noise(sources, _latent_shape(denoiser))
    latents = start.to(scheduler.timesteps.device) * getattr(scheduler, "init_noise_sigma", 1.0)
    arguments, total = schedulers.step_arguments(scheduler, sources), len(scheduler.timesteps)
    for finished, t in enumerate(scheduler.timesteps, 1):
        scaled = scheduler.scale_model_input(latents, t) if hasattr(scheduler, "scale_model_input") else latents
        output = denoiser(scaled.to(denoiser.dtype), t).sample.float()
        latents = scheduler.step(output, t, latents, **arguments).prev_sample
        on_step(finished, total)
    pixels = latents if model.vae is None else _decode(model.vae, latents)
    images: NDArray[np.float32] = (pixels / 2 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).numpy()
    return images


def _decode(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    shift = getattr(vae.config, "shift_factor", None) or 0.0
    decoded: torch.Tensor = vae.decode((latents / vae.config.scaling_factor + shift).to(vae.dtype)).sample
    return decoded.float()


def _through_pipeline(
    model: LoadedModel, spec: SampleSpec, indices: range, scheduler: Any, on_step: OnStep
) -> NDArray[np.float32]:
    pipeline: Any = model.pipeline
    sources = noise.generators(spec.seed, indices)

    def after_step(pipe: Any, step: int, _t: object, _tensors: object) -> dict[str, Any]:
        on_step(step + 1, pipe.num_timesteps)
        return {}

    arguments: dict[str, Any] = {
        "prompt": spec.prompts_of(indices),
        "num_inference_steps": spec.steps,
        "generator": sources,
        "output_type": "np",
        "callback_on_step_end": after_step,
    }
    if spec.guidance_scale is not None:
        arguments["guidance_scale"] = spec.guidance_scale
    if type(model.denoiser).__name__ == "UNet2DConditionModel":
        # Drawn in float32 whatever the dtype, so that a bfloat16 run starts from the same noise, rounded.
        start = noise.initial_noise(sources, _latent_shape(model.denoiser))
        arguments["latents"] = start.to(model.denoiser.dtype)
    kept, pipeline.scheduler = pipeline.scheduler, scheduler
    try:
        images: NDArray[np.float32] = pipeline(**arguments).images
    finally:
        pipeline.scheduler = kept
    return images


def _latent_shape(denoiser: Any) -> tuple[int, int, int]:
    size = denoiser.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return denoiser.config.in_channels, height, width


def _reproducible(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """On CUDA: cuDNN's deterministic algorithms, and float32 that is not TF32."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def _ignore(_finished: int, _total: int) -> None:
    """The step callback of a run without one."""
