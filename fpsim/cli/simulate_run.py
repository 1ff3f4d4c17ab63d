"""What ``fpsim simulate`` does with its request: load the model, run, render the results."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from fpsim.cli.progress import Bar
from fpsim.cli.render import Column, Table, plain_text
from fpsim.cli.simulate_request import read_request
from fpsim.errors import FpsimError
from fpsim.methods.request import Request
from fpsim.methods.run_arithmetic import products
from fpsim.methods.run_identity import method_settings
from fpsim.methods.simulation import check, simulate
from fpsim.methods.timestep_bins import with_edges
from fpsim.model.load import LoadedModel, load
from fpsim.number.user_files import check_name
from fpsim.report import files as report_files
from fpsim.report import jsonsafe
from fpsim.report.html import write_html
from fpsim.report.sheet import write_sheet
from fpsim.report.summary import summary_rows


def execute(options: Mapping[str, Any], command: str) -> None:
    """Run the simulation of the command line's options.

    Raises:
        FpsimError: any option is wrong; see the lower layers.
    """
    for module in ("matplotlib", "PIL"):
        report_files.require(module)
    request, out = read_request(options, command), Path(options["out"])
    if not options["out"].strip():
        raise FpsimError("--out is empty; name the run's folder, such as runs/first")
    check_name(out)
    if out.exists() and not out.is_dir():
        raise FpsimError(f"output folder {str(out)!r} is a file; pass another --out")
    model = load(options["model"], dtype=options["dtype"], device=options["device"])
    request = with_edges(request, model)
    check(request, model)  # before anything is said: an error is one line
    _say_header(model, request)
    began = time.monotonic()
    with Bar("step") as bar:
        try:
            run = simulate(request, model, out, bar)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"interrupted; finished batches are kept in {out}: run the same command to go on"
            ) from None
    write_results(run, out)
    seconds = time.monotonic() - began
    click.echo(f"{seconds:.0f} s; report: {out / 'report.html'}", err=True)


def write_results(run: dict[str, Any], out: Path) -> None:
    """Write ``run.json``, the sheet and the report, and print the summary."""
    report_files.write_atomically(out / "run.json", jsonsafe.dumps(run).encode())
    write_sheet(out / "sheet.png", report_files.load_rows(out, run))
    page = write_html(out)
    header, lines = summary_rows(run)
    columns = tuple(Column(name=name, right=i > 0) for i, name in enumerate(header))
    click.echo(plain_text(Table(columns=columns, rows=lines)), nl=False)
    click.echo(f"\nreport: {page}\nsheet:  {out / 'sheet.png'}")


def _say_header(model: LoadedModel, request: Request) -> None:
    """What was resolved, on stderr: nothing about a run is silent."""
    click.echo(f"# {model.name}: {type(model.denoiser).__name__}, {model.parameters:,} parameters", err=True)
    for row in request.rows:
        click.echo(f"# {row.label}  weights: {row.weights}  activations: {row.acts}", err=True)
        if request.arithmetic is not None:
            each = Counter(products(request, row, model).values())
            said = ", ".join(f"{count} layers in {name}" for name, count in each.items())
            click.echo(f"# {row.label}  arithmetic: {request.arithmetic}{': ' * bool(said)}{said}", err=True)
    if request.method != "rtn":
        settings = method_settings(request, model)
        click.echo("# " + "  ".join(f"{key}: {value}" for key, value in settings.items()), err=True)
