"""A whole series of images, batch by batch, into a store that remembers what is finished."""

from __future__ import annotations

from collections.abc import Callable

from fpsim.model.load import LoadedModel
from fpsim.sample.denoise import sample_batch
from fpsim.sample.observe import StepRecord
from fpsim.sample.spec import SampleSpec
from fpsim.sample.store import BatchStore
from fpsim.sample.trajectory import record


def sample_into(
    store: BatchStore,
    model: LoadedModel,
    spec: SampleSpec,
    *,
    keep_trajectory: bool = False,
    on_step: Callable[[int, int, int], None] | None = None,
) -> int:
    """Sample every batch that the store does not have yet.

    Args:
        store: Where finished batches are and go.
        model: A loaded model, quantized or not.
        spec: What to sample.
        keep_trajectory: Keep the denoiser's inputs and outputs beside the images.
        on_step: Called with (batch number, finished steps, steps of a batch); a batch that is already there is reported
            once, as (batch number, 1, 1).

    Returns:
        How many batches were sampled now; the others were there.
    """
    report = on_step or _ignore
    sampled = 0
    for number, indices in enumerate(spec.batches()):
        if store.has(number):
            report(number, 1, 1)
            continue
        records: list[StepRecord] = []
        images = sample_batch(
            model,
            spec,
            indices,
            observer=records.append if keep_trajectory else None,
            on_step=lambda finished, total, number=number: report(number, finished, total),  # type: ignore[misc]
        )
        store.write(number, images, record(records) if keep_trajectory else None)
        sampled += 1
    return sampled


def _ignore(_number: int, _finished: int, _total: int) -> None:
    """The step callback of a run without one."""
