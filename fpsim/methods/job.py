"""What a method is asked to do: quantize one model by one policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fpsim.model.load import LoadedModel
from fpsim.model.samples import LayerSample
from fpsim.quant.policy import Policy
from fpsim.sample.spec import SampleSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One quantization of a model.

    Args:
        model: the loaded model, not quantized.
        policy: which layer gets which format.
        samples: what entered each layer in full precision, for static activation scales; None makes them dynamic.
        spec: how the model is sampled, for methods that run it in calibration.
        settings: the method's own, from its ``settings`` function.
        folder: where finished parts are kept for a run that goes on; it may not exist yet.
        shared: where parts are kept that do not depend on the policy, for the run's other rows; None: in ``folder``.
        timesteps: of the run, as float32 has them.
        label: what progress calls the work.
        progress: told (what, finished, total).
        backend: who rounds; None for the default.
        strict: refuse blocks that do not divide a layer's input channels.
    """

    model: LoadedModel
    policy: Policy
    samples: Mapping[str, LayerSample] | None
    spec: SampleSpec
    settings: Mapping[str, Any]
    folder: Path
    label: str
    progress: Callable[[str, int, int], None]
    shared: Path | None = None
    timesteps: tuple[float, ...] = ()
    backend: str | None = None
    strict: bool = False
