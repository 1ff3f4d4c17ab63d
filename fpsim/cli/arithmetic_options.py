"""The options of ``fpsim simulate`` that say which arithmetic multiplies quantized operands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from fpsim.tensorcore.architecture import architectures

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--arithmetic",
        type=click.Choice(["fp32", *architectures()]),
        default="fp32",
        show_default=True,
        help="What multiplies quantized operands: torch, or a GPU's tensor core bit for bit.",
    ),
    click.option(
        "--promote-every",
        type=int,
        metavar="K",
        help="Tensor core: add its sum to one in FP32 after so many products, such as 128.",
    ),
    click.option(
        "--operand-type",
        metavar="TYPE",
        help="Tensor core: input type of all layers, such as fp16; default the narrowest that holds the formats.",
    ),
)


def arithmetic_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, in their order."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
