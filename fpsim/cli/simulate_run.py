"""What ``fpsim simulate`` does once its options are read: build the request, run it, render the results."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from fpsim.cli.render import Column, Table, plain_text
from fpsim.errors import FpsimError
from fpsim.methods.request import Request, Row
from fpsim.methods.simulation import simulate
from fpsim.model.build import describe_acts
from fpsim.model.load import LoadedModel, load
from fpsim.quant import policy_toml
from fpsim.quant.policy import Policy
from fpsim.report import files as report_files
from fpsim.report import jsonsafe
from fpsim.report.html import write_html
from fpsim.report.sheet import write_sheet
from fpsim.report.summary import summary_rows
from fpsim.sample.spec import SampleSpec


def execute(options: Mapping[str, Any], command: str) -> None:
    """Run the simulation of the command line's options.

    Raises:
        FpsimError: any option is wrong; see the lower layers.
    """
    for module in ("matplotlib", "PIL"):
        report_files.require(module)
    out = Path(options["out"])
    rows = _rows(options)
    spec = _spec(options)
    if options["calibration_images"] < 1:
        raise FpsimError(f"--calibration-images {options['calibration_images']}: at least 1 image is needed")
    if out.exists() and not out.is_dir():
        raise FpsimError(f"output folder {str(out)!r} is a file; pass another --out")
    _check_backend(options["backend"])
    request = _request(options, rows, spec, command)
    model = load(options["model"], dtype=options["dtype"], device=options["device"])
    _say_header(model, request)
    began = time.monotonic()
    with _Bar() as bar:
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


def _rows(options: Mapping[str, Any]) -> tuple[Row, ...]:
    how = ("weights_granularity", "acts_granularity", "scale")
    Policy.uniform(**{key: options[key] for key in how})  # wrong ones are refused, even where no row needs them
    rows = [_pair(pair, *_split(pair), options) for pair in options["pairs"]]
    if options["weights"] or options["acts"]:
        weights, acts = options["weights"] or "none", options["acts"] or "none"
        rows.append(_pair(f"{weights}/{acts}", weights, acts, options))
    if options["policy"]:
        rows.append(_policy_row(options))
    return tuple(rows)


def _split(pair: str) -> tuple[str, str]:
    # The slashes of a formats file's folders do not count: such a name ends after its '#'.
    match = re.fullmatch(r"([^/]+|.+#[^/]+)/([^/]+|.+#[^/]+)", pair)
    if match is None:
        raise FpsimError(f"--quant {pair!r} is not of the form WEIGHTS/ACTIVATIONS, such as e4m3/e4m3 or int4/int8")
    return match[1], match[2]


def _pair(label: str, weights: str, acts: str, options: Mapping[str, Any]) -> Row:
    from fpsim.number.names import format as resolve

    def found(name: str) -> Any:
        return None if name == "none" else resolve(name, files=options["files"])

    policy = Policy.uniform(
        found(weights),
        found(acts),
        weights_granularity=options["weights_granularity"],
        acts_granularity=options["acts_granularity"],
        scale=options["scale"],
    )
    first = policy.rules[0]
    return Row(
        label=label,
        policy=policy.skip(*options["skip"]),
        weights=str(first.weights or "full precision"),
        acts=describe_acts(first.acts, static=options["act_scales"] == "static") if first.acts else "full precision",
    )


def _policy_row(options: Mapping[str, Any]) -> Row:
    path = Path(options["policy"])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FpsimError(f"policy file {str(path)!r} cannot be read: {reason}") from None
    policy = policy_toml.loads(text, file=str(path), formats_files=options["files"])
    said = f"rules of {path.name}"
    return Row(label=path.stem, policy=policy.skip(*options["skip"]), weights=said, acts=said)


def _spec(options: Mapping[str, Any]) -> SampleSpec:
    prompts = None
    if options["prompts"]:
        try:
            lines = Path(options["prompts"]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            raise FpsimError(
                f"prompts file {options['prompts']!r} cannot be read; give a text file, one prompt a line"
            ) from None
        prompts = tuple(line.strip() for line in lines if line.strip())
        if not prompts:
            raise FpsimError(f"prompts file {options['prompts']!r} holds no prompt; give one a line")
    return SampleSpec(
        steps=options["steps"],
        num_images=options["num_images"],
        batch_size=options["batch_size"],
        seed=options["seed"],
        scheduler=options["scheduler"],
        prompts=prompts,
        guidance_scale=options["guidance_scale"],
    )


def _check_backend(name: str | None) -> None:
    from fpsim.codec.protocol import backend

    if name is not None:
        backend(name)


def _request(options: Mapping[str, Any], rows: tuple[Row, ...], spec: SampleSpec, command: str) -> Request:
    keys = ("weights_granularity", "acts_granularity", "scale")
    return Request(
        spec=spec,
        rows=rows,
        act_scales=options["act_scales"],
        calibration_images=options["calibration_images"],
        backend=options["backend"],
        dtype=options["dtype"],
        device=options["device"],
        quantization={
            **{key: options[key] for key in keys},
            "skip": list(options["skip"]),
            "policy_file": options["policy"],
        },
        command=command,
    )


def _say_header(model: LoadedModel, request: Request) -> None:
    """What was resolved, on stderr: nothing about a run is silent."""
    click.echo(f"# {model.name}: {type(model.denoiser).__name__}, {model.parameters:,} parameters", err=True)
    for row in request.rows:
        click.echo(f"# {row.label}  weights: {row.weights}  activations: {row.acts}", err=True)


class _Bar:
    """One progress bar a series of images, on stderr; silent where that is no terminal."""

    def __init__(self) -> None:
        self.bar: Any = None
        self.what = ""

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, what: str, finished: int, total: int) -> None:
        if what != self.what:
            self.__exit__()
            self.what, self.bar = what, tqdm(total=total, desc=what, unit="step", disable=None)
        self.bar.total = total
        self.bar.update(finished - self.bar.n)
