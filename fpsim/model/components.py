"""Build diffusers objects from a model's folder, with every weight accounted for."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import torch

from fpsim.errors import FpsimError
from fpsim.model.quiet import quiet
from fpsim.model.weights_check import check_complete, check_finite, explain_failure, one_line

_NOT_NEEDED = ("safety_checker", "feature_extractor")


def read_json(file: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FpsimError: The file is missing or does not hold a JSON object.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FpsimError(f"{file.parent} has no {file.name}: {what}") from None
    except (OSError, ValueError) as error:
        raise FpsimError(f"{file} cannot be read ({one_line(error)}): {what}") from error
    if not isinstance(value, dict):
        raise FpsimError(f"{file} holds no JSON object: {what}")
    return value


def load_module(kind: type[Any], folder: Path, label: str) -> torch.nn.Module:
    """Load one model with ``from_pretrained`` from safetensors, in evaluation mode.

    Raises:
        FpsimError: The weights are missing, pickled, corrupt, incomplete, of another shape, or not finite.
    """
    try:
        with quiet():
            module, info = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True)
    except Exception as error:
        raise explain_failure(folder, label, error) from error
    check_complete(info, label)
    check_finite(module, label)
    return module  # type: ignore[no-any-return]


def load_bare(folder: Path) -> tuple[torch.nn.Module, Any]:
    """Load a denoiser without a pipeline, and the scheduler whose config lies beside it.

    Raises:
        FpsimError: A config is missing or malformed, or names a class that cannot be sampled on its own.
    """
    config = read_json(folder / "config.json", "pass a diffusers model or pipeline folder")
    name = config.get("_class_name")
    if name != "UNet2DModel":
        raise FpsimError(
            f"{folder} holds a {name or 'model without _class_name'}, which cannot be sampled on its own: "
            "pass a UNet2DModel, or the pipeline folder with model_index.json"
        )
    settings = read_json(
        folder / "scheduler_config.json", "add the scheduler's config, which says how the model was trained"
    )
    return load_module(_diffusers_class("UNet2DModel"), folder, name), load_scheduler(settings, folder)


def load_scheduler(settings: dict[str, Any], folder: Path) -> Any:
    """Build the diffusers scheduler that a ``scheduler_config.json`` describes.

    Raises:
        FpsimError: Its ``_class_name`` is no scheduler of the installed diffusers, or its values are refused.
    """
    from diffusers import SchedulerMixin

    kind = _diffusers_class(str(settings.get("_class_name")))
    if not (isinstance(kind, type) and issubclass(kind, SchedulerMixin)):
        raise FpsimError(
            f"{folder / 'scheduler_config.json'} names the scheduler {settings.get('_class_name')!r}, which the "
            "installed diffusers does not have: correct _class_name"
        )
    try:
        return kind.from_config(settings)  # type: ignore[attr-defined]
    except Exception as error:
        raise FpsimError(f"{folder / 'scheduler_config.json'} is refused by diffusers ({one_line(error)})") from error


def load_pipeline(folder: Path) -> Any:
    """Load a diffusers pipeline from safetensors, without safety checker and feature extractor.

    Raises:
        FpsimError: A component cannot be loaded, or the pipeline needs code or classes that are not installed.
    """
    index = read_json(folder / "model_index.json", "pass a diffusers pipeline folder")
    if not isinstance(index.get("_class_name"), str):
        raise FpsimError(f"{folder / 'model_index.json'} names no diffusers pipeline class: own code is never run")
    parts: dict[str, Any] = {name: None for name in _NOT_NEEDED if name in index}
    for name, value in index.items():
        kind = None if name in parts else _model_class(value)
        if kind is not None:
            # A component without its own folder lies beside model_index.json, as in the first hub pipelines.
            home = folder / name if (folder / name).is_dir() else folder
            parts[name] = load_module(kind, home, f"{name} ({kind.__name__})")
    if "safety_checker" in parts:
        parts["requires_safety_checker"] = False
    return _assemble(folder, parts)


def _assemble(folder: Path, parts: dict[str, Any]) -> Any:
    try:
        with quiet():
            pipeline = _diffusers_class("DiffusionPipeline").from_pretrained(
                folder, use_safetensors=True, local_files_only=True, **parts
            )
    except Exception as error:
        raise FpsimError(f"{folder} could not be loaded as a pipeline ({one_line(error)})") from error
    pipeline.set_progress_bar_config(disable=True)
    if getattr(pipeline, "watermark", None) is not None:
        pipeline.watermark = None  # it would change the images that are compared
    return pipeline


def _model_class(value: object) -> type[Any] | None:
    """The class of a weight-bearing component of an index entry ``[library, class]``, or None."""
    if not (isinstance(value, list) and len(value) == 2 and value[0] in ("diffusers", "transformers")):
        return None
    kind = getattr(importlib.import_module(value[0]), str(value[1]), None)
    return kind if isinstance(kind, type) and issubclass(kind, torch.nn.Module) else None


def _diffusers_class(name: str) -> Any:
    with quiet():
        return getattr(importlib.import_module("diffusers"), name, None)
