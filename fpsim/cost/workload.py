"""What a batch of images asks of a device: the networks of a pipeline, how often each runs, and their ideal times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpsim.cost.device import Device
from fpsim.cost.formats import supports
from fpsim.cost.latency import Ideal, ideal
from fpsim.cost.operations import Component, Trace
from fpsim.cost.runtime import Setting
from fpsim.cost.scaling import scaled
from fpsim.cost.work import Work, works
from fpsim.errors import FpsimError
from fpsim.quant.policy import Policy

if TYPE_CHECKING:
    from torch import nn

#: Models whose pipelines use classifier-free guidance.
GUIDED = frozenset(("sd15", "sd21", "sdxl", "dit-xl-2"))

#: What tells work apart.
_COLUMNS = ("compute", "memory", "decode", "prepare", "kernels", "rate", "narrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A traced model, at any batch.

    Attributes:
        name: what the user gave.
        traces: at one and at two samples, which determine all others.
    """

    name: str
    traces: tuple[Trace, Trace]

    def at(self, samples: int) -> Trace:
        """Return the trace at so many samples."""
        one, two = self.traces
        return (one, two)[samples - 1] if samples in (1, 2) else scaled(one, two, samples)

    @property
    def guided(self) -> bool:
        """Whether its pipeline uses classifier-free guidance unless told otherwise."""
        return self.name in GUIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A network of the pipeline on a device.

    Attributes:
        component: for as many samples as it gets.
        calls: runs for a batch of images.
        works: in the order of execution.
        ideal: their times at full rates.
    """

    component: Component
    calls: int
    works: tuple[Work, ...]
    ideal: Ideal


def load(model: str | Path | nn.Module) -> Model:
    """Return a model with its operations; names are traced once.

    Raises:
        FpsimError: an unknown name, or a module of unknown inputs.
    """
    if isinstance(model, str | Path):
        return _named(str(model))
    return _traced(model, type(model).__name__)


def samples_of(component: Component, images: int, cfg: bool) -> int:
    """Return the samples of a component: guidance doubles those of the denoiser and of text, not of the decoder."""
    return images * (2 if cfg and component.name != "decoder" else 1)


def parts(
    model: Model, device: Device, setting: Setting, *, policy: Policy | None, images: int, cfg: bool, steps: int
) -> tuple[Part, ...]:
    """Return the networks of a batch of images, the denoiser first.

    Args:
        model: traced.
        device: the device.
        setting: runtime, attention, quantize operations and working type.
        policy: of the denoiser's layers.
        images: of the batch, at least 1.
        cfg: whether classifier-free guidance doubles the samples.
        steps: of the denoiser.

    Raises:
        FpsimError: no image or step, or a rule that matches no layer.
    """
    if images < 1 or steps < 1:
        raise FpsimError(f"{images} images in {steps} steps are no work; give positive numbers")
    traces = {count: model.at(count) for count in (images, images * (2 if cfg else 1))}
    found = []
    for place, component in enumerate(model.traces[0].components):
        batched = traces[samples_of(component, images, cfg)].components[place]
        done = tuple(
            works(batched.operations, supports(policy if place == 0 else None, batched, device, setting.dtype), setting)
        )
        calls = component.calls or steps
        found.append(Part(component=batched, calls=calls, works=done, ideal=ideal(done, device)))
    return tuple(found)


def grouped(found: Sequence[Part]) -> Ideal:
    """Return all work of parts, equal work counted instead of repeated."""
    columns = [np.stack([getattr(part.ideal, name) for name in _COLUMNS], 1) for part in found]
    repeats = np.concatenate([np.full(len(p.works), p.calls) for p in found])
    unique, inverse = np.unique(np.concatenate(columns), axis=0, return_inverse=True)
    values = dict(zip(_COLUMNS, unique.T, strict=True))
    places = {name: values.pop(name).astype(np.intp) for name in ("rate", "narrow")}
    counts = np.bincount(inverse.ravel(), weights=repeats).astype(np.float64)
    return replace(found[0].ideal, **values, **places, counts=counts)


@lru_cache(maxsize=8)
def _named(name: str) -> Model:
    return _traced(name, name)


def _traced(model: str | nn.Module, name: str) -> Model:
    from fpsim.cost.tracing import trace

    return Model(name=name, traces=(trace(model, batch=1), trace(model, batch=2)))
