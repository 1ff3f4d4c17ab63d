"""The main job: one full-precision run, the same noise through each quantized model, and what differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fpsim.measure.paired import paired_scores
from fpsim.methods import registry, run_arithmetic, run_cost
from fpsim.methods.calibration import Calibration, calibrate
from fpsim.methods.request import REFERENCE, Request
from fpsim.methods.run_identity import identity, method_settings
from fpsim.methods.run_row import Progress, run_row, sample
from fpsim.methods.timestep_bins import check_bins, with_edges
from fpsim.model.build import check_whole_blocks
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel
from fpsim.model.split import find_splits
from fpsim.model.split_build import split_rules
from fpsim.sample import schedulers
from fpsim.sample.store import RunFolder
from fpsim.version import __version__


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
    sample(reference, model, request.spec, REFERENCE, progress)
    images, course = reference.read(0)
    paired_scores(images, images)  # images too small for the scores are refused before the other rows
    timesteps = () if course is None else tuple(course.timesteps.tolist())
    found = _calibrated(request, model, out / "resume" / "calibration", timesteps, progress)
    rows = [run_row(request, row, model, folder, found, progress) for row in request.rows]
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


def _calibrated(
    request: Request, model: LoadedModel, folder: Path, timesteps: Sequence[float], progress: Progress
) -> Calibration:
    """The calibration run of a request, which must see the timesteps."""

    def on_step(done: int, total: int) -> None:
        progress("calibration", done, total)

    splits = find_splits(model.denoiser, method_settings(request, model).get("split", "none"))
    return calibrate(model, request.spec, request.calibration_images, folder, on_step, splits, timesteps)
