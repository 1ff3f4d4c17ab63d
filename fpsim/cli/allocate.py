"""``fpsim allocate``: a format for each layer of a model, within a budget."""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.render import output_options
from fpsim.cli.sampling_options import sampling_options
from fpsim.errors import FpsimError
from fpsim.methods.importance.registry import MEASURES

_OPTIONS = (
    click.option(
        "--model",
        default="bundled",
        metavar="NAME",
        show_default=True,
        help="'bundled', a folder, or a Hugging Face id.",
    ),
    click.option(
        "--budget",
        "budgets",
        multiple=True,
        required=True,
        metavar="LIMIT",
        help="4.5bpw (bits a weight, scales counted), 12MB or 12MiB (packed weights), 6bpa (bits an activation), "
        "800Gbops (bit-operations a call), b200:8ms (a call's time on a device). Repeatable: all hold.",
    ),
    click.option(
        "--measure",
        type=click.Choice(list(MEASURES)),
        default="fisher",
        show_default=True,
        help="What a format is predicted to harm.",
    ),
    click.option(
        "--formats",
        default="int2,e2m1,int4,e3m2,e4m3,int8",
        metavar="LIST",
        show_default=True,
        help="Formats of weights to choose from; 'none' is float32.",
    ),
    click.option("--acts", metavar="LIST", help="Formats of inputs: one for all layers, or several to choose from."),
    click.option(
        "--weights-granularity", default="channel", metavar="G", show_default=True, help="tensor, channel, block:N."
    ),
    click.option("--acts-granularity", default="tensor", metavar="G", show_default=True, help="tensor, block:N."),
    click.option("--scale", default="mse", metavar="RULE", show_default=True, help="As for 'fpsim simulate'."),
    click.option(
        "--timestep-bins",
        type=int,
        default=1,
        show_default=True,
        help="Choose inputs' formats, with scales of their own, for so many ranges of the timestep.",
    ),
    click.option("--timesteps", type=int, default=8, show_default=True, help="Steps at which layers are measured."),
    click.option(
        "--calibration-images", type=int, default=16, show_default=True, help="Images by which layers are measured."
    ),
    click.option("--beta", metavar="NUMBER|auto", help="orm: sharpness of exp(-beta * redundancy); default auto."),
    click.option(
        "--orm-aggregate",
        type=click.Choice(["mean-of-exp", "exp-of-mean", "per-timestep"]),
        help="orm: how timesteps become one number; default mean-of-exp.",
    ),
    click.option(
        "--orm-weighting",
        type=click.Choice(["later-mean", "own"]),
        help="orm: a layer's own importance, or the mean with all later ones (OMPQ; default).",
    ),
    click.option("--sensitivity-images", type=int, help="sensitivity: images of each run; default 4."),
    click.option("--measure-seed", type=int, help="random, fisher: seed; default 0."),
    click.option(
        "--split",
        type=click.Choice(["none", "shortcut", "all"]),
        default="none",
        show_default=True,
        help="Two quantizers where a U-Net concatenates; give 'fpsim simulate' the same.",
    ),
    click.option("--skip", multiple=True, metavar="GLOB", help="Layers left in full precision (repeatable)."),
    click.option(
        "--only",
        multiple=True,
        metavar="GLOB=LIST",
        help="Formats that layers may have, such as 'conv_*=int8' (repeatable).",
    ),
    click.option("--only-acts", multiple=True, metavar="GLOB=LIST", help="The same for their inputs (repeatable)."),
    click.option(
        "--share",
        multiple=True,
        metavar="GLOB",
        help="Layers of one module that match share formats, as kernels that fuse '*.to_[qkv]' need (repeatable).",
    ),
    click.option("--why", multiple=True, metavar="GLOB", help="Show every format's bytes and harm in such layers."),
    click.option("--front", type=int, help="Points of the Pareto front of the first budget; 24 with --plot."),
    click.option("--gap", type=float, default=1e-4, show_default=True, help="Relative gap at which the solver stops."),
    click.option("--seconds", type=float, default=30, show_default=True, help="Time after which it stops."),
    sampling_options,
    click.option("--backend", metavar="NAME", help="Who rounds: numba (default), numpy, torch or a registered name."),
    click.option("--formats-file", "files", multiple=True, metavar="FILE", help="TOML file of formats (repeatable)."),
    click.option("--out", metavar="FILE", help="Write the choice as a policy for 'fpsim simulate --policy FILE'."),
    click.option("--overwrite", is_flag=True, help="Replace the file of --out."),
    click.option(
        "--work",
        metavar="DIR",
        help="Folder of measurements, kept for other budgets and an interrupted run; default beside --out.",
    ),
    click.option("--plot", metavar="FILE", help="Draw the front and the bits by layer (.png or .svg)."),
    output_options,
)


def _options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_options
def allocate(*, output: str, **options: Any) -> None:
    """Choose a number format for each layer within a budget.

    Measures what each format would harm in each layer, then solves an exact integer program for the least sum. The
    result is an ordinary policy. --front N also solves for N limits from the smallest to the largest.

    \b
    fpsim allocate --budget 4.5bpw --out mixed.toml
    fpsim allocate --budget 4bpw --budget 6bpa --acts int4,e4m3,int8 --plot a.png
    fpsim allocate --measure orm --formats int2,int3,int4,int6,int8 --budget 1.5MB
    fpsim allocate --budget 4bpw --only 'conv_*=int8' --share '*.to_[qkv]'
    fpsim simulate --policy mixed.toml --out runs/mixed
    """
    try:
        from fpsim.cli.allocate_run import execute
    except ModuleNotFoundError as missing:
        raise FpsimError(f"'fpsim allocate' needs {missing.name}; pip install 'fpsim[models]' brings it") from None
    execute(options, output)
