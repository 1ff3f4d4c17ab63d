"""Which timesteps a calibration has seen, and whether that is all of them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

from fpsim.errors import FpsimError


class Visited:
    """Notes the timesteps with which a denoiser is called inside a ``with`` block.

    Args:
        denoiser: the network.

    Attributes:
        timesteps: each once, in order, as float32 has them.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        self.denoiser = denoiser
        self._seen: dict[float, None] = {}

    @property
    def timesteps(self) -> tuple[float, ...]:
        return tuple(self._seen)

    def __enter__(self) -> Visited:
        self._hook = self.denoiser.register_forward_pre_hook(self._note, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
        self._seen.setdefault(float(np.float32(torch.as_tensor(given["timestep"]).flatten()[0].item())))


def check_timesteps(seen: Iterable[float], wanted: Iterable[float], where: str) -> None:
    """Refuse calibration data without some timestep: scales and formats would not hold there.

    Args:
        seen: timesteps of the data.
        wanted: timesteps of the run.
        where: the data, as the error calls them.

    Raises:
        FpsimError: one is missing; names the first.

    >>> check_timesteps([999, 0], [999, 0], "the calibration")
    """
    known, needed = set(seen), list(dict.fromkeys(wanted))
    missing = [t for t in needed if t not in known]
    if missing:
        raise FpsimError(
            f"{where} lacks timestep {missing[0]:g} (it has {len(needed) - len(missing)} of the run's {len(needed)}): "
            "delete it and run again"
        )
