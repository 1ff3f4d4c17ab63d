"""The shapes of a diffusers model or pipeline in a local folder: its configs are read, its weights are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fpsim.cost.architectures import ARCHITECTURES, architecture
from fpsim.cost.catalogue import Model, Part
from fpsim.errors import FpsimError

#: Bytes of the longest config that is read.
_LONGEST = 1 << 22


def read_folder(folder: Path) -> Model:
    """Return the model that a folder describes.

    Args:
        folder: with the ``config.json`` of a network or the ``model_index.json`` of a pipeline.

    Raises:
        FpsimError: it has neither, one is malformed, or the pipeline has no denoiser that is known.
    """
    if (folder / "model_index.json").is_file():
        index = _json(folder / "model_index.json")
        parts = [part for name in index if (part := _part(folder, name, index[name])) is not None]
    elif (folder / "config.json").is_file():
        parts = [_network(folder / "config.json", "denoiser")]
    else:
        raise FpsimError(f"{folder} has neither model_index.json nor config.json; give a diffusers folder")
    order = sorted(parts, key=lambda part: ("denoiser", "text_encoder", "decoder").index(_role(part)))
    if not order or _role(order[0]) != "denoiser":
        known = ", ".join(name for name, item in ARCHITECTURES.items() if item.role == "denoiser")
        raise FpsimError(f"{folder} holds no denoiser of a known class ({known}); trace it with trace_module")
    return Model(name=str(folder), title=folder.name, parts=_with_latents(tuple(order)))


def _part(folder: Path, name: str, entry: object) -> Part | None:
    """The network of an entry ``[library, class]`` of a pipeline's index, if it is one that runs for an image."""
    if not (isinstance(entry, list) and len(entry) == 2 and entry[1] in ARCHITECTURES):
        return None
    config = _json((folder / name if (folder / name).is_dir() else folder) / "config.json")
    role = architecture(str(entry[1])).role
    return Part(
        name=name if role == "text_encoder" else role, kind=str(entry[1]), config=config, source=str(folder / name)
    )


def _network(file: Path, name: str) -> Part:
    config = _json(file)
    kind = config.get("_class_name") or next(iter(config.get("architectures") or ()), None)
    if not isinstance(kind, str):
        raise FpsimError(f"{file} does not name a class in _class_name; give a diffusers config")
    architecture(kind)
    return Part(name=name, kind=kind, config=config, source=str(file))


def _role(part: Part) -> str:
    return architecture(part.kind).role


def _with_latents(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Give every decoder the size of the latents that the denoiser makes."""
    size = parts[0].config.get("sample_size") or 64
    latent = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if parts[0].kind == "FluxTransformer2DModel":
        latent = (128, 128)
    return tuple(
        Part(name=part.name, kind=part.kind, config=part.config, source=part.source, latent=latent) for part in parts
    )


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > _LONGEST:
            raise FpsimError(f"{file} is too long for a config; give a diffusers folder")
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        if isinstance(error, FpsimError):
            raise
        raise FpsimError(f"{file} cannot be read as JSON ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(value, dict):
        raise FpsimError(f"{file} holds no JSON object; give a diffusers config")
    return value
