"""The calibration run as calls of the denoiser that can be repeated, on noise of its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from fpsim.methods.calibration import FIRST_INDEX
from fpsim.model.load import LoadedModel
from fpsim.sample.denoise import sample_batch
from fpsim.sample.spec import SampleSpec


def run_calibration(model: LoadedModel, spec: SampleSpec, images: int, on_step: Callable[[int, int], None]) -> None:
    """Sample the calibration's images over all timesteps, in batches.

    Args:
        model: a loaded model.
        spec: as for a simulation; its own images are not touched, those of the calibration have other noise.
        images: how many images.
        on_step: called with (finished, total) scheduler steps.
    """
    size = min(spec.batch_size, images)
    ours = replace(spec, num_images=FIRST_INDEX + images, batch_size=size)
    firsts = range(FIRST_INDEX, FIRST_INDEX + images, size)
    for batch, first in enumerate(firsts):

        def step(done: int, total: int, batch: int = batch) -> None:
            on_step(batch * total + done, len(firsts) * total)

        sample_batch(model, ours, range(first, min(first + size, FIRST_INDEX + images)), on_step=step)


class Recorder:
    """Keeps the arguments of all the denoiser's calls inside a ``with`` block, on the CPU.

    Args:
        denoiser: the network.

    Attributes:
        calls: the arguments by name, one mapping a call.
    """

    def __init__(self, denoiser: nn.Module) -> None:
        self.denoiser = denoiser
        self.calls: list[dict[str, Any]] = []
        self._seen: dict[str, tuple[Tensor, int, Tensor]] = {}

    def __enter__(self) -> Recorder:
        self._hook = self.denoiser.register_forward_pre_hook(self._keep, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def replays(self) -> list[Callable[[], Any]]:
        """Return functions that repeat the calls."""
        device = next(self.denoiser.parameters()).device
        return [lambda call=call: self.denoiser(**_mapped(call, lambda t: t.to(device))) for call in self.calls]  # type: ignore[misc]

    def _keep(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        bound = dict(inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments)
        bound |= bound.pop("kwargs", {})
        self.calls.append({key: _mapped(value, lambda t, key=key: self._copy(key, t)) for key, value in bound.items()})  # type: ignore[misc]

    def _copy(self, key: str, value: Tensor) -> Tensor:
        """A copy, the same as last time where the very same tensor comes again: prompts do in every step."""
        source, version, copy = self._seen.get(key, (None, -1, None))
        if source is not value or version != value._version or copy is None:
            copy = value.detach().to("cpu", copy=True)
            self._seen[key] = (value, value._version, copy)
        return copy


def _mapped(value: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {key: _mapped(item, function) for key, item in value.items()}
    return value
