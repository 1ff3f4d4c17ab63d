"""``fpsim quantize``: the tensors of a safetensors file in a number format."""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.options import format_option, format_options
from fpsim.cli.render import output_options


@click.command()
@click.argument("files_in", metavar="FILE...", nargs=-1, required=True)
@format_option()
@format_options
@click.option("--granularity", metavar="G", help="tensor, channel (axis 0; the default), block:N.")
@click.option("--scale", metavar="RULE", help="max, percentile[:P], mse (the default), none; blocks: e8m0-floor.")
@click.option("--rounding", metavar="MODE", help="ties-to-even (the default), toward-zero, stochastic, ...")
@click.option("--overflow", metavar="POLICY", help="saturate (the default) or special.")
@click.option("--random-bits", type=int, metavar="N", help="Of stochastic rounding, 1 to 24.")
@click.option("--seed", type=int, help="Of stochastic rounding.")
@click.option("--include", multiple=True, metavar="GLOB", help="Quantize only these tensors (repeatable).")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Copy these tensors unchanged (repeatable).")
@click.option(
    "--min-dims",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="Copy tensors of fewer dims: biases, norms.",
)
@click.option("--out", metavar="FILE", help="Write packed codes and scales; without it, only report.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@click.option("--dequantize", is_flag=True, help="FILE is a packed one: write plain tensors to --out.")
@output_options
def quantize(**options: Any) -> int:
    """Quantize the tensors of safetensors FILEs, or of an index of shards (.safetensors.index.json).

    Reports each tensor's error, zeros and bytes; with --out it also writes packed codes and scales, which
    fpsim.load_packed reads back bit for bit. Scales are per output channel, chosen for least squared error; a tensor of
    one dim has one scale. Blocks run along axis 1 where there are 3 dims or more (a convolution's input channels),
    otherwise along the last axis.

    \b
    fpsim quantize model.safetensors --format e4m3
    fpsim quantize model.safetensors --format nvfp4 --exclude 'conv_in.*' --out small.safetensors
    fpsim quantize small.safetensors --dequantize --out plain.safetensors
    """
    from fpsim.cli.quantize_run import execute

    return execute(options)
