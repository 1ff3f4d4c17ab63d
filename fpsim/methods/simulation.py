"""The main job: one full-precision run, the same noise through each quantized model, and what differs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from fpsim.errors import FpsimError
from fpsim.measure.paired import paired_scores
from fpsim.methods import rtn
from fpsim.methods.calibration import Calibration, calibrate
from fpsim.methods.environment import environment
from fpsim.methods.request import REFERENCE, Request, Row
from fpsim.methods.timesteps import timestep_errors
from fpsim.model.attach import Handle
from fpsim.model.build import check_whole_blocks
from fpsim.model.layer_stats import measure_layers
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.weights_check import fingerprint
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
    _check(request, model)
    config = _config(request, model)
    folder = RunFolder(out, config, overwrite=request.overwrite)
    folder.make("images")
    reference = folder.store(REFERENCE)
    _sample(reference, model, request.spec, REFERENCE, progress)
    paired_scores(*[reference.read(0)[0]] * 2)  # images too small for the scores are refused before the other rows
    kept = out / "resume" / "calibration"
    found = calibrate(
        model, request.spec, request.calibration_images, kept, lambda done, total: progress("calibration", done, total)
    )
    rows = [_row(request, row, model, folder, found, progress) for row in request.rows]
    batches = len(request.spec.batches())
    reference.merge(batches, out / "images" / "full-precision.npz")
    return {
        "fpsim": __version__,
        "run_hash": folder.sha256[:16],
        **{key: config[key] for key in ("model", "sampling", "quantization", "environment")},
        "command": request.command,
        "reference": {"label": REFERENCE, "images": "images/full-precision.npz"},
        "rows": rows,
    }


def _check(request: Request, model: LoadedModel) -> None:
    """Refuse what cannot run before any work: a slip should neither cost a full-precision run nor leave a folder."""
    layers = dict(quantizable(model.denoiser))
    for row in request.rows:
        for name, rule in row.policy.resolve(layers).items():
            if request.strict:
                check_whole_blocks(name, layers[name], rule)
    request.spec.check_kind(model.kind)
    schedulers.set_steps(schedulers.make(request.spec.scheduler, model.scheduler), request.spec.steps)


def _config(request: Request, model: LoadedModel) -> dict[str, Any]:
    """Everything that decides the results, as JSON values."""
    spec = asdict(request.spec)
    scheduler = spec.pop("scheduler")
    prompts = spec.pop("prompts")
    return {
        "model": {
            "name": model.name,
            "requested": model.requested,
            "kind": model.kind,
            "class": type(model.denoiser).__name__,
            "parameters": model.parameters,
            "sha256": model.sha256,
            **_other_networks(model),
            "source": model.source,
        },
        "sampling": {
            "scheduler": schedulers.class_name(scheduler) if scheduler else type(model.scheduler).__name__,
            **spec,
            "dtype": request.dtype,
            "device": request.device,
            "prompts": None if prompts is None else list(prompts),
        },
        "quantization": {
            **request.quantization,
            "act_scales": request.act_scales,
            "calibration_images": request.calibration_images,
            "strict_blocks": request.strict,
            "backend": request.backend or ("torch" if request.device.startswith("cuda") else "numba"),
        },
        "policies": {row.label: policy_toml.dumps(row.policy) for row in request.rows},
        "environment": {**environment(), "fpsim": __version__},
    }


def _other_networks(model: LoadedModel) -> dict[str, Any]:
    """Hashes of the text encoders and the autoencoder, which decide the images as well; nothing for a bare U-Net."""
    if model.pipeline is None:
        return {}
    parts: dict[str, Any] = model.pipeline.components
    networks = {
        name: part for name, part in parts.items() if isinstance(part, nn.Module) and part is not model.denoiser
    }
    return {"other_networks": {name: fingerprint(part) for name, part in sorted(networks.items())}}


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
        samples = found.samples if request.act_scales == "static" else None
        with rtn.attach(model, row.policy, samples, request.backend, strict=request.strict) as handle:
            _sample(store, model, spec, row.label, progress)
            layers = _layers(model, handle, found)
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
        "images": path,
        "model_bytes": layers["model_bytes"],
        "model_bytes_full": 4 * model.parameters,
        "psnr_db": {"mean": scores.psnr_db_mean, "per_image": scores.psnr_db.tolist()},
        "ssim": {"mean": scores.ssim_mean, "per_image": scores.ssim.tolist()},
        "timesteps": timestep_errors(reference, store, batches),
        "layers": layers["layers"],
        "left": layers["left"],
    }


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
    }
