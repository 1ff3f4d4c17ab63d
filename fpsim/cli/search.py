"""``fpsim search``: for each layer of a model the encoding and the bias of least squared error."""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.render import output_options
from fpsim.cli.sampling_options import sampling_options
from fpsim.errors import FpsimError


@click.command()
@click.option(
    "--model", default="bundled", metavar="NAME", show_default=True, help="'bundled', a folder, or a Hugging Face id."
)
@click.option("--bits", type=int, help="Width of weights and inputs, such as 8.")
@click.option("--weights-bits", type=int, help="Width of the weights; alone, inputs stay in full precision.")
@click.option("--acts-bits", type=int, help="Width of the layers' inputs; alone, weights stay in full precision.")
@click.option("--encodings", metavar="LIST", help="Encodings to try, such as e4m3,e5m2; default by width.")
@click.option(
    "--granularity",
    type=click.Choice(["tensor", "channel"]),
    default="tensor",
    show_default=True,
    help="A bias a weight tensor, or one an output channel; inputs have one a tensor.",
)
@click.option(
    "--init-samples",
    "--calibration-images",
    "init_samples",
    type=int,
    help="Images of the initialization set, seen at every timestep; default 128, text-to-image 16.",
)
@click.option(
    "--captured",
    type=click.Choice(["full-precision", "quantized-prefix"]),
    default="full-precision",
    show_default=True,
    help="Inputs as the full-precision model has them, or behind layers that are quantized already.",
)
@click.option(
    "--split",
    type=click.Choice(["none", "shortcut", "all"]),
    default="none",
    show_default=True,
    help="Own formats for features and skip connection at up-path shortcuts, or at conv1 as well.",
)
@click.option(
    "--timestep-bins",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Formats of inputs of their own for N equal ranges of the timestep.",
)
@click.option("--skip", multiple=True, metavar="GLOB", help="Layers left in full precision (repeatable).")
@sampling_options
@click.option("--out", metavar="FILE", help="Write the formats as a policy for 'fpsim simulate --policy FILE'.")
@click.option("--overwrite", is_flag=True, help="Replace the file of --out.")
@output_options
def search(*, output: str, **options: Any) -> None:
    """Search each layer's number format.

    Algorithm 1 of Chen et al. 2024: of all encodings of a width and 111 exponent biases, real numbers, the one of
    least squared error; first for the weights, then for the layers' inputs over all timesteps of a calibration run.

    \b
    fpsim search --bits 8 --out fp8.toml
    fpsim search --weights-bits 4 --acts-bits 8 --captured quantized-prefix --out fp4.toml
    fpsim simulate --policy fp8.toml --out runs/fp8
    fpsim search --acts-bits 6 --timestep-bins 8 --out bins.toml
    fpsim search --bits 8 --split shortcut --out s.toml && fpsim simulate --policy s.toml --split shortcut --out runs/s
    """
    try:
        from fpsim.cli.search_run import execute
    except ModuleNotFoundError as missing:
        raise FpsimError(f"'fpsim search' needs {missing.name}; pip install 'fpsim[models]' brings it") from None
    execute(options, output)
