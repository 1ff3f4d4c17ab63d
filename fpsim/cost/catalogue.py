"""The models that are known by name: their shapes, read from the TOML files in ``models``, and those in the package."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from fpsim.errors import FpsimError

#: The network that comes with the package, whichever it is.
BUNDLED = "bundled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A network of a pipeline, not yet built.

    Attributes:
        name: ``denoiser``, ``text_encoder``, ``text_encoder_2`` or ``decoder``.
        kind: its class in diffusers or transformers.
        config: its constructor's values.
        source: where they are from.
        latent: (height, width) of the latents; None where it is no matter, or the config says it.
        tokens: of the text; None where it is no matter.
    """

    name: str
    kind: str
    config: Mapping[str, Any]
    source: str
    latent: tuple[int, int] | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A pipeline.

    Attributes:
        name: its id.
        title: what people call it, with the image size.
        parts: the denoiser first.
        resident: networks that are in memory and do not run with the others, by name: their parameters.
    """

    name: str
    title: str
    parts: tuple[Part, ...]
    resident: Mapping[str, int] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """Where the denoiser's shapes are from."""
        return self.parts[0].source


def names() -> tuple[str, ...]:
    """Return the names of the known models.

    >>> "sd15" in names()
    True
    """
    return (*_files(), *((BUNDLED, *_packaged()) if _packaged() else ()))


def lookup(name: str) -> Model:
    """Return a known model.

    Raises:
        FpsimError: the name is unknown.
    """
    if name in _files():
        return _read(name)
    if name == BUNDLED or name in _packaged():
        return _bundled(name)
    close = get_close_matches(name.lower(), names(), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise FpsimError(
        f"the model {name!r} is unknown; {hint}choose one of {', '.join(names())}, or give a folder with a diffusers "
        "config.json or model_index.json"
    )


@cache
def _files() -> tuple[str, ...]:
    return tuple(sorted(item.name.removesuffix(".toml") for item in _folder().iterdir() if item.suffix == ".toml"))


def _folder() -> Path:
    return Path(str(files("fpsim.cost") / "models"))


@cache
def _read(name: str) -> Model:
    table = tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    parts = tuple(
        Part(
            name=part["name"],
            kind=part["class"],
            config=part["config"],
            source=part["source"],
            latent=tuple(part["latent"]) if "latent" in part else None,
            tokens=part.get("tokens"),
        )
        for part in table["component"]
    )
    resident = {key: int(item["parameters"]) for key, item in table.get("resident", {}).items()}
    return Model(name=name, title=table["title"], parts=parts, resident=resident)


@cache
def _packaged() -> tuple[str, ...]:
    """The folders of weights that come with the package; only their configs are read here."""
    root = Path(str(files("fpsim") / "model" / "weights"))
    return tuple(sorted(item.parent.name for item in root.glob("*/config.json")))


@cache
def _bundled(name: str) -> Model:
    real = _packaged()[0] if name == BUNDLED else name
    file = Path(str(files("fpsim") / "model" / "weights" / real / "config.json"))
    config = json.loads(file.read_text(encoding="utf-8"))
    size = config["sample_size"]
    part = Part(
        name="denoiser",
        kind=config["_class_name"],
        config=config,
        source=f"the package's own model {real}, config.json",
        latent=(size, size),
    )
    return Model(name=name, title=f"{real}, {size}×{size}", parts=(part,))
