"""Options of the verbs that sample from a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option("--scheduler", metavar="NAME", help="ddim, dpm++, euler …; default the model's own."),
    click.option("--steps", type=int, default=50, show_default=True, help="Denoising steps."),
    click.option("--batch-size", type=int, default=16, show_default=True, help="Images sampled together."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of the noise."),
    click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda", help="Where the model runs."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Type that the model computes in.",
    ),
    click.option("--prompts", metavar="FILE", help="Text file, one prompt a line (text-to-image models)."),
    click.option("--guidance-scale", type=float, help="Classifier-free guidance; default the pipeline's."),
)


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb the options of a sampling run, but for the number of images."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
