"""Options that several verbs share: which number format, and how it differs from the named one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from fpsim.number import Format, Specials
from fpsim.number.catalogue import builtin
from fpsim.number.names import format as named_format


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What a name on the command line stands for.

    Args:
        asked: the name as it was given.
        standard: the format of that name.
        format: the same with the user's changes.
    """

    asked: str
    standard: Format
    format: Format


def complete_format(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the catalogue's names that begin so, for shell completion."""
    return [name for name in builtin() if name.startswith(incomplete)]


def format_option(
    text: str = "Number format; 'fpsim formats' lists them.", *, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return ``--format`` of a verb that takes one name, as ``name``; ``text`` is its help."""
    return click.option(
        "--format", "name", metavar="NAME", required=required, shell_complete=complete_format, help=text
    )


def format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--bias``, ``--specials``, ``--no-subnormals`` and ``--formats-file``."""
    for option in reversed(
        (
            click.option("--bias", type=float, help="Another exponent bias, any real number."),
            click.option(
                "--specials", type=click.Choice([str(s) for s in Specials]), help="Which codes are Inf and NaN."
            ),
            click.option("--no-subnormals", is_flag=True, help="Exponent field 0 holds only zeros."),
            click.option(
                "--formats-file", "files", multiple=True, metavar="FILE", help="TOML file of formats (repeatable)."
            ),
        )
    ):
        command = option(command)
    return command


def resolve(
    name: str,
    *,
    bias: float | None = None,
    specials: str | None = None,
    no_subnormals: bool = False,
    files: tuple[str, ...] = (),
) -> Resolved:
    """Return the format of a name and of the options above.

    Raises:
        FpsimError: unknown name, or facts that contradict each other.
    """
    standard = named_format(name, files=files)
    changed = named_format(standard, bias=bias, specials=specials, subnormals=False if no_subnormals else None)
    return Resolved(asked=name, standard=standard, format=changed)
