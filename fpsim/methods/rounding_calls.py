"""The calibration calls of learned rounding: what enters the full-precision denoiser at every step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fpsim.methods.calibration import FIRST_INDEX as FIRST_CALIBRATION
from fpsim.methods.recorded_calls import Recorder
from fpsim.model.load import LoadedModel
from fpsim.sample.denoise import sample_batch
from fpsim.sample.spec import SampleSpec

#: Images of this calibration have indices from here on: their noise is that of no other image.
FIRST_INDEX = FIRST_CALIBRATION + (1 << 22)

Call = Callable[[], Any]


def record_calls(
    model: LoadedModel, spec: SampleSpec, samples: int, on_step: Callable[[int, int], None], *, first: int = FIRST_INDEX
) -> list[Call]:
    """Sample images in full precision and return functions that call the denoiser again with the same inputs.

    There is one call a step and batch; together they have ``samples`` samples of every step.

    Args:
        model: a loaded model, not quantized.
        spec: as for the run itself.
        samples: how many images.
        on_step: told (finished, total) steps.
        first: index of the first image.
    """
    size = min(spec.batch_size, samples)
    ours = replace(spec, num_images=first + samples, batch_size=size)
    starts = range(first, first + samples, size)
    with Recorder(model.denoiser) as recorder:
        for batch, start in enumerate(starts):

            def step(done: int, total: int, batch: int = batch) -> None:
                on_step(batch * total + done, len(starts) * total)

            sample_batch(model, ours, range(start, min(start + size, first + samples)), on_step=step)
    return recorder.replays()
