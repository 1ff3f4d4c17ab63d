"""What ``fpsim allocate`` does with its request: load the model, measure, solve, write the policy, print the table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from fpsim.cli.allocate_request import read_plot, read_request, read_work
from fpsim.cli.allocate_rows import document
from fpsim.cli.allocate_tables import front_table, human, machine, why_table
from fpsim.cli.progress import Bar
from fpsim.cli.render import plain_text, show
from fpsim.cli.search_request import read_out
from fpsim.errors import FpsimError
from fpsim.methods.allocation_request import AllocationRequest
from fpsim.methods.mpq_diff import allocate, measure
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel, load
from fpsim.quant import policy_toml
from fpsim.report.allocation_plot import write_allocation_plot
from fpsim.report.files import require
from fpsim.sample.npz import atomic


def execute(options: Mapping[str, Any], output: str) -> None:
    """Run the allocation of the command line's options.

    Raises:
        FpsimError: any option is wrong; see the lower layers.
    """
    request, out, plot = read_request(options), read_out(options), read_plot(options)
    work = read_work(options, out)
    if plot is not None:
        require("matplotlib")
    model = load(options["model"], dtype=options["dtype"], device=options["device"])
    for glob in options["why"]:
        if not any(fnmatchcase(name, glob) for name, _ in quantizable(model.denoiser)):
            raise FpsimError(f"--why {glob!r} matches no layer; give a glob such as 'conv_*'")
    _say_header(model, request)
    began = time.monotonic()
    with Bar() as bar:
        try:
            measured = measure(request, model, work, bar)
        except KeyboardInterrupt:
            kept = f"; finished measurements are kept in {work}: run the same command to go on" if work else ""
            raise KeyboardInterrupt(f"interrupted{kept}") from None
        found = allocate(request, measured, bar)
    shown = document(request, model, found)
    if out is not None:
        with atomic(out) as stream:
            stream.write(policy_toml.dumps(found.policy).encode())
    if plot is not None:
        write_allocation_plot(shown, plot)
    show(output, lambda: human(shown), lambda: machine(shown), lambda: document(request, model, found))
    if output == "text":
        more = [front_table(shown)] if options["front"] else []
        for table in (*more, *(why_table(shown, glob) for glob in options["why"])):
            click.echo("\n" + plain_text(table), nl=False)
    _say_end(time.monotonic() - began, out, plot)


def _say_end(seconds: float, out: Path | None, plot: Path | None) -> None:
    where = f"; policy: {out}" if out is not None else "; --out FILE keeps it as a policy"
    click.echo(f"{seconds:.0f} s{where}" + (f"; plot: {plot}" if plot is not None else ""), err=True)


def _say_header(model: LoadedModel, request: AllocationRequest) -> None:
    """What was resolved, on stderr: nothing about an allocation is silent."""
    lines = [f"{model.name}: {type(model.denoiser).__name__}, {model.parameters:,} parameters"]
    for what, specs in (("weights", request.weights), ("inputs", request.acts)):
        said = "; ".join(f"{name}: {spec or 'float32'}" for name, spec in specs.items())
        lines.append(f"{what}: {said or 'full precision'}")
    lines.append(
        f"measured on {request.images} images at {request.timesteps} of {request.spec.steps} steps, seed "
        f"{request.spec.seed}"
    )
    for line in lines:
        click.echo(f"# {line}", err=True)
