"""Estimate what was asked for, and print it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fpsim.cli.cost_breakdown import breakdown_document, breakdown_human, breakdown_machine
from fpsim.cli.cost_request import BEST, Request, request
from fpsim.cli.cost_rows import document, human, machine, under
from fpsim.cli.render import show
from fpsim.cost.device import Device
from fpsim.cost.estimating import estimate
from fpsim.cost.result import Estimate
from fpsim.cost.throughput import best_batch
from fpsim.cost.workload import Model, load
from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name


def execute(options: Mapping[str, Any], output: str) -> None:
    """Run ``fpsim cost``.

    Raises:
        FpsimError: bad options, or the only batch that was asked for does not fit.
    """
    asked = request(options)
    _check_plot(options["plot"])
    model = load(asked.model)
    found = [_one(asked, model, device, batch) for device in asked.devices for batch in asked.batches]
    if len(found) == 1 and not found[0].fits:
        raise FpsimError(_too_large(found[0]))
    by = options["by"]
    if by:
        show(
            output,
            lambda: breakdown_human(found, by),
            lambda: breakdown_machine(found, by),
            lambda: breakdown_document(found, by),
        )
    else:
        show(output, lambda: human(found), lambda: machine(found), lambda: document(found))
    if output in ("text", "markdown"):
        click.echo(under(found, output), nl=False)
    if options["plot"]:
        _plot(found, Path(options["plot"]))


def _one(asked: Request, model: Model, device: Device, batch: int | str) -> Estimate:
    def at(images: int) -> Estimate:
        return estimate(
            model,
            device=device,
            policy=asked.policy,
            batch=images,
            calibration=asked.calibration,
            **asked.keywords,
        )

    return best_batch(at) if batch == BEST else at(int(batch))


def _too_large(found: Estimate) -> str:
    capacity = found.device.memory.value
    over = f"{(found.peak_bytes - capacity) / 1e9:.1f} GB more than {found.device.name} has ({capacity / 1e9:g} GB)"
    most = f"the largest batch that fits is {found.largest}" if found.largest else "no batch fits"
    return f"a batch of {found.images} takes {found.peak_bytes / 1e9:.1f} GB, {over}; {most}"


def _check_plot(file: str | None) -> None:
    """Refuse before any work a plot that cannot be written."""
    if file is None:
        return
    check_name(path := Path(file))
    if path.suffix.lower() not in (".png", ".svg"):
        raise FpsimError(f"{file}: a plot is written as .png or .svg")
    if path.is_dir() or not path.parent.is_dir():
        wrong = "it is a folder" if path.is_dir() else f"the folder {str(path.parent)!r} is not there; make it first"
        raise FpsimError(f"{file}: {wrong}")


def _plot(found: list[Estimate], path: Path) -> None:
    from fpsim.report.cost_plots import write_roofline

    write_roofline(found, path)
    click.echo(f"wrote {path}", err=True)
