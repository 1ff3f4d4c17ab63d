"""The options of ``fpsim simulate`` for split layers and for Q-Diffusion; those not given are the method's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--split",
        type=click.Choice(["none", "shortcut", "all"]),
        help="Own scales and formats for features and skip connection at up-path shortcuts, or at conv1 as well.",
    ),
    click.option("--recon-batch", type=int, metavar="N", help="q-diffusion: samples of a step of Adam."),
    click.option("--calibration-steps", type=int, metavar="N", help="q-diffusion: sampling steps kept in calibration."),
    click.option(
        "--act-init",
        type=click.Choice(["max", "ema", "mse"]),
        help="q-diffusion: how activation scales begin.",
    ),
    click.option("--act-iters", type=int, metavar="N", help="q-diffusion: iterations for activation step sizes."),
    click.option("--act-lr", type=float, metavar="X", help="q-diffusion: their learning rate."),
    click.option("--softmax-bits", type=int, metavar="N", help="q-diffusion: width of the softmax's output."),
    click.option(
        "--compat",
        type=click.Choice(["none", "q-diffusion"]),
        help="Repeat the peculiarities of the released code.",
    ),
)
#: click's names of them.
Q_DIFFUSION_OPTIONS = (
    "split",
    "recon_batch",
    "calibration_steps",
    "act_init",
    "act_iters",
    "act_lr",
    "softmax_bits",
    "compat",
)


def q_diffusion_options(command: _Command) -> _Command:
    """Add the options to a command, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
