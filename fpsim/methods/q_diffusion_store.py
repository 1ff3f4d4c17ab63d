"""What Q-Diffusion has finished, as files: one a unit and phase, so that an interrupted run goes on with the next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fpsim.methods.kept import damaged
from fpsim.methods.q_diffusion_places import ScalesOf
from fpsim.quant.scales import Scales
from fpsim.sample.npz import atomic


class UnitStore:
    """A folder with the learned weights of each unit, and the scales of each unit's activations.

    Args:
        folder: made with the first file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has_weights(self, unit: str) -> bool:
        """Whether the unit's weight phase is finished."""
        return self._weights(unit).is_file()

    def has_scales(self, unit: str) -> bool:
        """Whether the unit's activation phase is finished."""
        return self._scales(unit).is_file()

    def write_weights(self, unit: str, weights: Mapping[str, Tensor], figures: Mapping[str, Any]) -> None:
        """Keep a unit's rounded weights, by the layers' full names."""
        data = save({name: w.cpu().contiguous() for name, w in weights.items()}, {"figures": json.dumps(dict(figures))})
        self._write(self._weights(unit), data)

    def read_weights(self, unit: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return a unit's weights and figures.

        Raises:
            FpsimError: the file is damaged.
        """
        try:
            with safe_open(self._weights(unit), framework="pt") as file:
                figures = dict(json.loads(file.metadata()["figures"]))
                return {name: file.get_tensor(name) for name in file.keys()}, figures
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise damaged(self._weights(unit), error) from error

    def write_scales(self, unit: str, scales: ScalesOf, figures: Mapping[str, Any] | None = None) -> None:
        """Keep scales of one group each, by place: one, or one for each of several bins of the timestep."""
        numbers = {place: _numbers(found) for place, found in scales.items()}
        self._write(self._scales(unit), json.dumps({"scales": numbers, "figures": dict(figures or {})}).encode())

    def read_scales(self, unit: str) -> tuple[dict[str, tuple[Scales, ...]], dict[str, Any]]:
        """Return scales by place, and figures.

        Raises:
            FpsimError: the file is damaged.
        """
        path = self._scales(unit)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return {place: _scales(numbers) for place, numbers in found["scales"].items()}, dict(found["figures"])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise damaged(path, error) from error

    def _weights(self, unit: str) -> Path:
        return self.folder / f"{quote(unit, safe='') or 'model'}.safetensors"

    def _scales(self, unit: str) -> Path:
        return self.folder / f"{quote(unit, safe='') or 'model'}.scales.json"

    def _write(self, path: Path, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as stream:
            stream.write(data)


def _numbers(scales: Sequence[Scales]) -> Any:
    """Scale and zero point, or a pair for each bin."""
    pairs = [[float(each.scale[0]), None if each.zero_point is None else float(each.zero_point[0])] for each in scales]
    return pairs[0] if len(pairs) == 1 else pairs


def _scales(numbers: Any) -> tuple[Scales, ...]:
    pairs = numbers if isinstance(numbers[0], list) else [numbers]
    return tuple(
        Scales(np.array([scale], np.float32), None if zero_point is None else np.array([zero_point], np.float32))
        for scale, zero_point in pairs
    )
