"""The options of ``fpsim simulate`` for methods that learn rounding; those not given are the method's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--format-search/--no-format-search",
        default=None,
        help="chen2024: search encoding and bias of each float's width.",
    ),
    click.option(
        "--init-samples",
        type=int,
        metavar="N",
        help="chen2024: images of the initialization set, at every timestep; default 128, text-to-image 16.",
    ),
    click.option(
        "--captured",
        type=click.Choice(["full-precision", "quantized-prefix"]),
        help="chen2024: layers' inputs as in full precision, or behind quantized layers (a pass a layer).",
    ),
    click.option(
        "--reconstruct", type=click.Choice(["layer", "block"]), help="Whose output learned rounding reconstructs."
    ),
    click.option("--rounding-for", type=click.Choice(["fp4", "all"]), help="Learn weights of up to 4 bits, or all."),
    click.option("--rounding-samples", type=int, metavar="N", help="Calibration samples a step for learned rounding."),
    click.option("--rounding-iters", type=int, metavar="N", help="Iterations of Adam."),
    click.option("--rounding-lr", type=float, metavar="X", help="Learning rate."),
    click.option("--rounding-lambda", type=float, metavar="X", help="Weight of the regularizer."),
    click.option("--rounding-beta", metavar="B", help="Its exponent: 20, or 20:2 falling linearly."),
    click.option("--scale-aware/--no-scale-aware", default=None, help="Divide parameters by their step (FP4DiT)."),
)
#: click's names of them.
ROUNDING_OPTIONS = (
    "format_search",
    "init_samples",
    "captured",
    "reconstruct",
    "rounding_for",
    "rounding_samples",
    "rounding_iters",
    "rounding_lr",
    "rounding_lambda",
    "rounding_beta",
    "scale_aware",
)


def rounding_options(command: _Command) -> _Command:
    """Add the options to a command, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
