"""What ``fpsim search`` does with its request: load the model, search, write the policy, print the table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import click

from fpsim.cli.progress import Bar
from fpsim.cli.render import show
from fpsim.cli.search_request import check_bins, read_encodings, read_out, read_request, read_spec
from fpsim.cli.search_rows import document, human, machine, rows
from fpsim.methods.format_search import FormatSearch, search_formats
from fpsim.methods.found_formats import policy_of
from fpsim.model.load import LoadedModel, load
from fpsim.quant import policy_toml
from fpsim.sample.npz import atomic


def execute(options: Mapping[str, Any], output: str) -> None:
    """Run the search of the command line's options.

    Raises:
        FpsimError: any option is wrong; see the lower layers.
    """
    encodings, out = read_encodings(options), read_out(options)
    check_bins(options)
    read_spec(options)  # what is wrong whatever the model is refused before it is loaded
    model = load(options["model"], dtype=options["dtype"], device=options["device"])
    request = read_request(options, encodings, model)
    _say_header(model, request)
    began = time.monotonic()
    with Bar() as bar:
        found = search_formats(request, model, bar)
    still = [layer.name for layer in found if request.acts and not layer.inputs]
    if still:
        click.echo(f"# never ran, so their inputs stay in full precision: {', '.join(still)}", err=True)
    if out is not None:
        with atomic(out) as stream:
            stream.write(policy_toml.dumps(policy_of(found, channels=request.channels)).encode())
    listed = rows(found)
    about = _about(model, request, options, max((each.excess for layer in found for each in layer.inputs), default=0.0))
    show(output, lambda: human(listed, about), lambda: machine(listed), lambda: document(listed, about))
    where = f"; policy: {out}" if out is not None else "; --out FILE keeps it as a policy"
    click.echo(f"{time.monotonic() - began:.0f} s{where}", err=True)


def _about(model: LoadedModel, request: FormatSearch, options: Mapping[str, Any], excess: float) -> dict[str, Any]:
    """What the results depend on."""
    spec, acts = request.spec, bool(request.acts)
    return {
        "model": model.name,
        "sha256": model.sha256,
        "granularity": options["granularity"],
        "weights_encodings": [encoding.name for encoding in request.weights],
        "acts_encodings": [encoding.name for encoding in request.acts],
        "maxima": 111,
        "captured": request.captured if acts else None,
        "init_samples": request.images if acts else None,
        "steps": spec.steps if acts else None,
        "seed": spec.seed if acts else None,
        "scheduler": (spec.scheduler or type(model.scheduler).__name__) if acts else None,
        "skip": list(request.skip),
        "split": request.split,
        "timestep_bins": request.timestep_bins,
        "sketch_excess": excess if acts else None,
    }


def _say_header(model: LoadedModel, request: FormatSearch) -> None:
    """What was resolved, on stderr: nothing about a search is silent."""
    click.echo(f"# {model.name}: {type(model.denoiser).__name__}, {model.parameters:,} parameters", err=True)
    where = "channel" if request.channels else "tensor"
    for what, tried, how in (("weights", request.weights, where), ("inputs", request.acts, "tensor")):
        names = " ".join(encoding.name for encoding in tried)
        click.echo(f"# {what}: {f'{names}, 111 biases each, per {how}' if tried else 'full precision'}", err=True)
    if request.split != "none":
        click.echo(f"# split: {request.split}", err=True)
    if request.timestep_bins > 1:
        click.echo(f"# inputs: a format in each of {request.timestep_bins} timestep bins", err=True)
    if request.acts:
        click.echo(
            f"# initialization set: {request.images} images at each of {request.spec.steps} steps, seed "
            f"{request.spec.seed}; inputs captured from the {request.captured.replace('-', ' ')} model",
            err=True,
        )
