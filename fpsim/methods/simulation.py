"""The main job: one full-precision run, the same noise through each quantized model, and what differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fpsim.errors import FpsimError
from fpsim.measure.paired import paired_scores
from fpsim.methods import registry, run_arithmetic, run_cost
from fpsim.methods.calibration import Calibration, calibrate
from fpsim.methods.job import Job
from fpsim.methods.request import REFERENCE, Request, Row
from fpsim.methods.run_identity import identity, method_settings
from fpsim.methods.timestep_bins import bins_of, check_bins, with_edges
from fpsim.methods.timesteps import timestep_errors
from fpsim.model.attach import Handle
from fpsim.model.build import check_whole_blocks
from fpsim.model.layer_stats import measure_layers
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_build import split_rules
from fpsim.quant import policy_toml
from fpsim.sample import schedulers
from fpsim.sample.npz import atomic
from fpsim.sample.run import sample_into
from fpsim.sample.spec import SampleSpec
from fpsim.sample.store import BatchStore, RunFolder
from fpsim.version import __version__

#: progress(what is running, finished steps of it, all its steps)
Progress = Callable[[str, int, int], None]


def simulate(request: Request, model: LoadedModel, out: Path, progress: Progress) -> dict[str, Any]:
    """Run a simulation, or what is left of it, and return its record (the contents of ``run.json``).

    Args:
        request: what to simulate.
        model: the loaded model; quantized for each row and restored.
        out: the run's folder; images are written to ``out/images``.
        progress: told about each finished step.

    Raises:
        FpsimError: the folder belongs to another run or is a file; a policy rule that matches no layer; NaN.
    """
    request = with_edges(request, model)
    check(request, model)
    config = identity(request, model)
    folder = RunFolder(out, config, overwrite=request.overwrite)
    folder.make("images")
    reference = folder.store(REFERENCE)
    _sample(reference, model, request.spec, REFERENCE, progress)
    images, course = reference.read(0)
    paired_scores(images, images)  # images too small for the scores are refused before the other rows
    timesteps = () if course is None else tuple(course.timesteps.tolist())
    kept = out / "resume" / "calibration"
    found = calibrate(
        model,
        request.spec,
        request.calibration_images,
        kept,
        lambda done, total: progress("calibration", done, total),
        find_splits(model.denoiser, method_settings(request, model).get("split", "none")),
        timesteps,
    )
    rows = [_row(request, row, model, folder, found, progress) for row in request.rows]
    batches = len(request.spec.batches())
    reference.merge(batches, out / "images" / "full-precision.npz")
    return {
        "fpsim": __version__,
        "run_hash": folder.sha256[:16],
        **{key: config[key] for key in ("model", "sampling", "quantization", "environment")},
        **run_arithmetic.record(request),
        "command": request.command,
        "reference": {"label": REFERENCE, "images": "images/full-precision.npz"},
        "rows": rows,
        "cost": run_cost.record(request, model, rows, course),
    }


def check(request: Request, model: LoadedModel) -> None:
    """Refuse what cannot run before any work: a slip should neither cost a full-precision run nor leave a folder."""
    layers = dict(quantizable(model.denoiser))
    settings, static = method_settings(request, model), request.act_scales == "static"
    splits = find_splits(model.denoiser, settings.get("split", "none"))
    for row in request.rows:
        rules, _ = split_rules(row.policy, layers, splits)
        for name, rule in rules.items():
            if request.strict:
                check_whole_blocks(name, layers[name], rule)
        run_arithmetic.products(request, row, model)
    request.spec.check_kind(model.kind)
    for row in request.rows:
        registry.check(request.method, model.denoiser, row.policy, settings, static=static)
    scheduler = schedulers.make(request.spec.scheduler, model.scheduler)
    schedulers.set_steps(scheduler, request.spec.steps)
    check_bins(request, model, scheduler.timesteps.tolist())


def _sample(store: BatchStore, model: LoadedModel, spec: SampleSpec, what: str, progress: Progress) -> None:
    batches = len(spec.batches())

    def on_step(batch: int, finished: int, total: int) -> None:
        progress(what, batch * total + finished, batches * total)

    sample_into(store, model, spec, keep_trajectory=True, on_step=on_step)


def _row(
    request: Request, row: Row, model: LoadedModel, folder: RunFolder, found: Calibration, progress: Progress
) -> dict[str, Any]:
    store, spec = folder.store(row.label), request.spec
    record = store.folder / "layers.json"
    if not record.is_file():
        job = _job(request, row, model, store.folder, found, progress)
        with registry.method(request.method).attach(job) as handle:
            products = run_arithmetic.use(request, model, handle)
            _sample(store, model, spec, row.label, progress)
            layers = {**_layers(model, handle, found), **_rounding(store.folder), **products}
        with atomic(record) as stream:
            stream.write(json.dumps(layers).encode())
    else:
        progress(row.label, 1, 1)
    layers = _read_record(record)
    batches = len(spec.batches())
    path = f"images/{row.slug}.npz"
    images = store.merge(batches, folder.path / path)
    reference = folder.store(REFERENCE)
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
    return {"rounding": _read_record(said)} if said.is_file() else {}


def _read_record(record: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(record.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise FpsimError(f"{record} is damaged ({error}): delete it and run again") from error


def _layers(model: LoadedModel, handle: Handle, found: Calibration) -> dict[str, Any]:
    stats: Sequence[Any] = measure_layers(model.denoiser, handle, found.calls(model))
    return {
        "model_bytes": round(handle.coverage.bytes),
        "layers": [asdict(layer) for layer in stats],
        "left": [asdict(item) for item in handle.coverage.left],
        **bins_of(handle),
    }
