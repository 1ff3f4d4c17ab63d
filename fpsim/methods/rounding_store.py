"""Learned weights as files, one a layer, so that an interrupted run goes on with the next."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fpsim.methods.kept import damaged
from fpsim.quant.rounding.learn import LearnedRounding
from fpsim.sample.npz import atomic


class RoundingStore:
    """A folder with one safetensors file a layer: the rounded weight, and its figures as metadata.

    Args:
        folder: made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """The file of a layer."""
        return self.folder / f"{quote(name, safe='') or 'model'}.safetensors"

    def missing(self, names: Iterable[str]) -> list[str]:
        """The layers that are not finished."""
        return [name for name in names if not self.path(name).is_file()]

    def write(self, name: str, found: LearnedRounding, **facts: Any) -> None:
        """Keep a finished layer.

        Raises:
            FpsimError: the file cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        figures = {
            "loss_nearest": found.loss_before,
            "loss_learned": found.loss_after,
            "changed": found.changed,
            "kept_rows": found.kept_rows,
            **facts,
        }
        data = save({"weight": found.weight.cpu().contiguous()}, {"figures": json.dumps(figures)})
        with atomic(self.path(name)) as stream:
            stream.write(data)

    def read(self, name: str) -> tuple[Tensor, dict[str, Any]]:
        """A finished layer's weight and figures.

        Raises:
            FpsimError: the file is missing or damaged.
        """
        path = self.path(name)
        try:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor("weight"), dict(json.loads(file.metadata()["figures"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise damaged(path, error) from error
