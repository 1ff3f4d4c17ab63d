"""``fpsim simulate``: a diffusion model in number formats, beside full precision."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from fpsim.cli.arithmetic_options import arithmetic_options
from fpsim.cli.q_diffusion_options import q_diffusion_options
from fpsim.cli.rounding_options import rounding_options
from fpsim.cli.sampling_options import sampling_options
from fpsim.errors import FpsimError
from fpsim.methods.registry import METHODS


@click.command()
@click.option("--model", default="bundled", metavar="NAME", help="'bundled', a folder, or a Hugging Face id.")
@click.option("--quant", "pairs", multiple=True, metavar="W/A", help="Formats of weights and activations (repeatable).")
@click.option("--weights", metavar="FORMAT", help="Format of the weights (one pair, with --acts); 'none' keeps them.")
@click.option("--acts", metavar="FORMAT", help="Format of the activations; 'none' keeps them.")
@click.option("--policy", metavar="FILE", help="TOML file of rules, as one more row.")
@click.option(
    "--weights-granularity", default="channel", metavar="G", show_default=True, help="tensor, channel, block:N."
)
@click.option("--acts-granularity", default="tensor", metavar="G", show_default=True, help="tensor, block:N.")
@click.option(
    "--scale",
    default="mse",
    metavar="RULE",
    show_default=True,
    help="max, percentile[:P], mse, none; blocks: e8m0-floor.",
)
@click.option(
    "--act-scales",
    type=click.Choice(["static", "dynamic"]),
    default="static",
    show_default=True,
    help="From a calibration run, or per sample (there mse becomes max).",
)
@click.option(
    "--timestep-bins",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Static scales (chen2024: formats) of their own for N equal ranges of the timestep.",
)
@click.option(
    "--calibration-images",
    type=int,
    default=8,
    show_default=True,
    help="Images of the calibration run, from noise of its own.",
)
@click.option("--strict", is_flag=True, help="Refuse blocks that do not divide a layer's input channels.")
@click.option(
    "--method", type=click.Choice(list(METHODS)), default="rtn", show_default=True, help="How weights are rounded."
)
@rounding_options
@q_diffusion_options
@arithmetic_options
@click.option("--skip", multiple=True, metavar="GLOB", help="Layers left in full precision (repeatable).")
@click.option("--num-images", type=int, default=16, show_default=True, help="Images a row.")
@sampling_options
@click.option("--backend", metavar="NAME", help="Who rounds: numba (default), numpy, torch or a registered name.")
@click.option("--formats-file", "files", multiple=True, metavar="FILE", help="TOML file of formats (repeatable).")
@click.option("--out", required=True, metavar="DIR", help="Folder of the run; the same command resumes it.")
@click.option("--overwrite", is_flag=True, help="Start afresh where the folder holds another run.")
def simulate(**options: Any) -> None:
    """Run a diffusion model in number formats.

    Beside full precision, from the same noise. Writes images (npz, uint8 NHWC), a sheet, per-layer and per-timestep
    errors (run.json) and a self-contained report.html into the folder.

    \b
    fpsim simulate --quant e4m3/e4m3 --quant int8/int8 --out runs/fp8
    fpsim simulate --weights mxfp4 --acts mxfp8 --skip 'conv_in' --out runs/mx
    fpsim simulate --method chen2024 --quant fp4/fp8 --weights-granularity tensor --out runs/chen
    fpsim simulate --method q-diffusion --quant int4/int8 --out runs/qdiff
    fpsim simulate --arithmetic hopper --promote-every 128 --quant e4m3/e4m3 --out runs/hopper
    """
    try:
        from fpsim.cli.simulate_run import execute
    except ModuleNotFoundError as missing:
        raise FpsimError(f"'fpsim simulate' needs {missing.name}; pip install 'fpsim[models,plot]' brings it") from None
    execute(options, _command(options))


def _command(options: dict[str, Any]) -> str:
    """The command that repeats the run: every option that differs from its default."""
    words = ["fpsim", "simulate"]
    for parameter in simulate.params:
        value = options[str(parameter.name)]
        if (
            value == parameter.get_default(click.Context(simulate))
            or value in (None, ())
            or parameter.name == "overwrite"
        ):
            continue
        if isinstance(value, bool):
            words.append((parameter.opts if value else parameter.secondary_opts)[0])
            continue
        for item in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], str(Path(item)) if parameter.name == "out" else str(item)]
    return shlex.join(words)
