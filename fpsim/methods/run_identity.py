"""What makes two simulations the same run: the model, the sampling, the quantization and what computes them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from torch import nn

from fpsim.methods import registry, run_arithmetic
from fpsim.methods.environment import environment
from fpsim.methods.request import Request
from fpsim.model.load import LoadedModel
from fpsim.model.weights_check import fingerprint
from fpsim.quant import policy_toml
from fpsim.sample import schedulers
from fpsim.version import __version__


def method_settings(request: Request, model: LoadedModel) -> dict[str, Any]:
    """Return the method's name and its settings for a model.

    Raises:
        FpsimError: an option that the method does not take.
    """
    return registry.settings(request.method, request.method_options, model.kind, request.spec.steps)


def identity(request: Request, model: LoadedModel) -> dict[str, Any]:
    """Return everything that decides the results, as JSON values.

    Raises:
        FpsimError: an option that the method does not take.
    """
    return {
        "model": _model(model),
        "sampling": _sampling(request, model),
        "quantization": {
            **method_settings(request, model),
            **request.quantization,
            "act_scales": request.act_scales,
            "calibration_images": request.calibration_images,
            "strict_blocks": request.strict,
            "backend": request.backend or ("torch" if request.device.startswith("cuda") else "numba"),
        },
        **run_arithmetic.record(request),
        "policies": {row.label: policy_toml.dumps(row.policy) for row in request.rows},
        "environment": {**environment(), "fpsim": __version__},
    }


def _model(model: LoadedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "requested": model.requested,
        "kind": model.kind,
        "class": type(model.denoiser).__name__,
        "parameters": model.parameters,
        "sha256": model.sha256,
        **_other_networks(model),
        "source": model.source,
    }


def _sampling(request: Request, model: LoadedModel) -> dict[str, Any]:
    spec = asdict(request.spec)
    scheduler = spec.pop("scheduler")
    prompts = spec.pop("prompts")
    return {
        "scheduler": schedulers.class_name(scheduler) if scheduler else type(model.scheduler).__name__,
        **spec,
        "dtype": request.dtype,
        "device": request.device,
        "prompts": None if prompts is None else list(prompts),
    }


def _other_networks(model: LoadedModel) -> dict[str, Any]:
    """Hashes of the text encoders and the autoencoder, which decide the images as well; nothing for a bare U-Net."""
    if model.pipeline is None:
        return {}
    parts: dict[str, Any] = model.pipeline.components
    networks = {
        name: part for name, part in parts.items() if isinstance(part, nn.Module) and part is not model.denoiser
    }
    return {"other_networks": {name: fingerprint(part) for name, part in sorted(networks.items())}}
