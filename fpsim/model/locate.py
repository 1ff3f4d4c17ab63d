"""From what the user typed to a folder with a model: bundled, local, or in the Hugging Face cache."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from fpsim.errors import FpsimError
from fpsim.model import bundled
from fpsim.model.quiet import quiet

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model's folder and how it was found."""

    name: str
    source: str
    folder: Path


def locate(requested: str, *, bundled_folder: Path | None = None) -> Found:
    """Find the folder of a model.

    A bundled name comes first, then a folder, then a Hugging Face id: ``./fashion-28`` is always a folder.

    Args:
        requested: A bundled name, a path, or ``org/name``.
        bundled_folder: Where the bundled models are; the package's own without it.

    Raises:
        FpsimError: There is no such model, or the hub's could not be had.
    """
    if bundled.is_bundled(requested):
        name, folder = bundled.resolve(requested, bundled_folder)
        return Found(name=name, source="bundled", folder=folder)
    path = os.path.expanduser(requested)
    if requested.strip() and os.path.isdir(path):
        name = Path(path).resolve().name
        return Found(name=name, source=f"folder {name}", folder=Path(path))
    if requested.strip() and os.path.exists(path):
        raise FpsimError(f"{requested!r} is a file: pass the folder that holds it together with its config")
    if _HUB_ID.fullmatch(requested):
        return Found(name=requested, source=f"hub {requested}", folder=download(requested))
    if "/" in requested or os.sep in requested or requested.startswith((".", "~")):
        raise FpsimError(f"there is no folder {requested!r}: pass an existing model folder{_bundled_hint()}")
    raise FpsimError(
        f"unknown model {requested!r}: it is no bundled model, no folder here, and no Hugging Face id 'org/name'"
        + (bundled.suggestion(requested) or _bundled_hint())
    )


def download(repository: str) -> Path:
    """The folder of a hub pipeline in the local cache, downloaded if it is not there; safetensors weights only.

    Raises:
        FpsimError: It is neither cached nor reachable, does not exist, is gated, or is no diffusers pipeline.
    """
    from diffusers import DiffusionPipeline

    # Components that are passed, even as None, are not downloaded: sampling needs neither of these two.
    options = {"use_safetensors": True, "safety_checker": None, "feature_extractor": None}
    with contextlib.suppress(Exception):  # whatever is wrong with the cache, the hub is asked next
        return Path(DiffusionPipeline.download(repository, local_files_only=True, **options))
    try:
        with quiet():
            return Path(DiffusionPipeline.download(repository, **options))
    except Exception as error:
        raise FpsimError(_why(repository, error)) from error


def _why(repository: str, error: BaseException) -> str:
    kinds, texts, link = set(), "", error
    while link is not None:
        kinds |= {kind.__name__ for kind in type(link).__mro__}
        texts += str(link)
        link = link.__cause__ or link.__context__  # type: ignore[assignment]
    if "GatedRepoError" in kinds:
        return f"{repository} is gated: accept its licence on huggingface.co and run 'hf auth login'"
    if "RepositoryNotFoundError" in kinds:
        return f"{repository} does not exist on huggingface.co, or is private: check the id, or pass a folder"
    if "RemoteEntryNotFoundError" in kinds or "model_index.json" in texts:
        return f"{repository} has no model_index.json, so it is no diffusers pipeline: pass another id or a folder"
    return (
        f"{repository} is not in the local Hugging Face cache and could not be downloaded (nor is it a folder here): "
        f"run 'hf download {repository}' on a machine with network, or pass a folder"
    )


def _bundled_hint() -> str:
    return f" (bundled models: {', '.join(bundled.NAMES)})"
