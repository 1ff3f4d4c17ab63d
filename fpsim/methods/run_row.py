"""One row of a simulation: the model quantized, sampled and compared with the reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fpsim.measure.paired import paired_scores
from fpsim.methods import registry, run_arithmetic
from fpsim.methods.calibration import Calibration
from fpsim.methods.job import Job
from fpsim.methods.kept import damaged
from fpsim.methods.request import REFERENCE, Request, Row
from fpsim.methods.run_identity import method_settings
from fpsim.methods.timestep_bins import bins_of
from fpsim.methods.timesteps import timestep_errors
from fpsim.model.attach import Handle
from fpsim.model.layer_stats import measure_layers
from fpsim.model.load import LoadedModel
from fpsim.quant import policy_toml
from fpsim.sample.npz import atomic
from fpsim.sample.run import sample_into
from fpsim.sample.spec import SampleSpec
from fpsim.sample.store import BatchStore, RunFolder

#: progress(what is running, finished steps of it, all its steps)
Progress = Callable[[str, int, int], None]


def run_row(
    request: Request, row: Row, model: LoadedModel, folder: RunFolder, found: Calibration, progress: Progress
) -> dict[str, Any]:
    """Quantize, sample and compare, or what of it an earlier run has not done; return the row's record.

    Args:
        request: what to simulate.
        row: which of its quantizations.
        model: quantized and restored.
        folder: of the run; the reference is sampled.
        found: by the calibration run.
        progress: told about each finished step.

    Raises:
        FpsimError: what the method refuses, NaN, or a damaged file of an earlier run.
    """
    store = folder.store(row.label)
    file = store.folder / "layers.json"
    if file.is_file():
        progress(row.label, 1, 1)
    else:
        layers = _sampled(request, row, model, store, found, progress)
        with atomic(file) as stream:
            stream.write(json.dumps(layers).encode())
    return _record(request, row, model, folder, _read(file))


def sample(store: BatchStore, model: LoadedModel, spec: SampleSpec, what: str, progress: Progress) -> None:
    """Sample what is left of a run, with its trajectory.

    Args:
        store: of the images.
        model: as it is.
        spec: what to sample.
        what: the name under which ``progress`` hears of it.
        progress: told about each finished step.
    """
    batches = len(spec.batches())

    def on_step(batch: int, finished: int, total: int) -> None:
        progress(what, batch * total + finished, batches * total)

    sample_into(store, model, spec, keep_trajectory=True, on_step=on_step)


def _sampled(
    request: Request, row: Row, model: LoadedModel, store: BatchStore, found: Calibration, progress: Progress
) -> dict[str, Any]:
    """Sample with the quantized model; return what its layers say."""
    job = _job(request, row, model, store.folder, found, progress)
    with registry.method(request.method).attach(job) as handle:
        products = run_arithmetic.use(request, model, handle)
        sample(store, model, request.spec, row.label, progress)
        return {**_layers(model, handle, found), **_rounding(store.folder), **products}


def _record(
    request: Request, row: Row, model: LoadedModel, folder: RunFolder, layers: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare the images and latents with the reference's, and put together all that is known."""
    store, reference = folder.store(row.label), folder.store(REFERENCE)
    batches, path = len(request.spec.batches()), f"images/{row.slug}.npz"
    images = store.merge(batches, folder.path / path)
    scores = paired_scores(reference.merge(batches), images)
    return {
        "label": row.label,
        "slug": row.slug,
        "weights": row.weights,
        "acts": row.acts,
        "policy": policy_toml.dumps(row.policy),
        **layers.get("rounding", {}),
        **({"products": layers["products"]} if "products" in layers else {}),
        "images": path,
        "model_bytes": layers["model_bytes"],
        "model_bytes_full": 4 * model.parameters,
        "psnr_db": {"mean": scores.psnr_db_mean, "per_image": scores.psnr_db.tolist()},
        "ssim": {"mean": scores.ssim_mean, "per_image": scores.ssim.tolist()},
        "timesteps": timestep_errors(reference, store, batches),
        "layers": layers["layers"],
        "left": layers["left"],
        **({"act_bins": layers["act_bins"]} if "act_bins" in layers else {}),
    }


def _job(request: Request, row: Row, model: LoadedModel, folder: Path, found: Calibration, progress: Progress) -> Job:
    return Job(
        model=model,
        policy=row.policy,
        samples=found.samples if request.act_scales == "static" else None,
        spec=request.spec,
        settings=method_settings(request, model),
        folder=folder,
        shared=folder.parent / "calibration",
        timesteps=found.timesteps,
        label=row.label,
        progress=progress,
        backend=request.backend,
        strict=request.strict,
    )


def _rounding(folder: Path) -> dict[str, Any]:
    """What the method says about a row in place of the policy's words; nothing for a method that says nothing."""
    said = folder / "rounding.json"
    return {"rounding": _read(said)} if said.is_file() else {}


def _read(record: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise damaged(record, error) from error


def _layers(model: LoadedModel, handle: Handle, found: Calibration) -> dict[str, Any]:
    stats: Sequence[Any] = measure_layers(model.denoiser, handle, found.calls(model))
    return {
        "model_bytes": round(handle.coverage.bytes),
        "layers": [asdict(layer) for layer in stats],
        "left": [asdict(item) for item in handle.coverage.left],
        **bins_of(handle),
    }
