"""The command ``fpsim``: verbs that load when they are needed, errors as one line.

A verb is a click command that returns its exit code or None: 0 ok, 1 failed, 2 bad input, 3 a requested
threshold missed. Its module is imported for the verb itself and for a help text, so it imports nothing
heavy at its top.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from fpsim.errors import FpsimError
from fpsim.version import __version__

#: Verb to module and attribute, in the order of the help text.
VERBS: dict[str, str] = {
    "allocate": "fpsim.cli.allocate:allocate",
    "compare": "fpsim.cli.compare:compare",
    "conformance": "fpsim.cli.conformance:conformance",
    "cost": "fpsim.cli.cost:cost",
    "formats": "fpsim.cli.formats:formats",
    "inspect": "fpsim.cli.inspect:inspect",
    "quantize": "fpsim.cli.quantize:quantize",
    "score": "fpsim.cli.score:score",
    "search": "fpsim.cli.search:search",
    "simulate": "fpsim.cli.simulate:simulate",
    "table": "fpsim.cli.table:table",
    "vectors": "fpsim.cli.vectors:vectors",
}
_BAD_INPUT, _INTERRUPTED = 2, 130
#: Characters of the longest message; what is wrong with a longer name is at its end.
_LONGEST = 2000


class Verbs(click.Group):
    """The group of all verbs, each imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in their order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a verb; None if there is no such verb."""
        if cmd_name not in VERBS:
            return None
        module, _, attribute = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb of the arguments, or say which verb is nearest."""
        if args[0] not in VERBS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0].lower(), VERBS, 1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise FpsimError(f"unknown verb {args[0]!r}. {hint}'fpsim --help' lists all.")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a closed pipe ends it quietly, Ctrl-C with one line."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough. Nor may the flush at the interpreter's end fail.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except KeyboardInterrupt as stop:
            click.echo(_one_line(str(stop)) or "interrupted", err=True)
            return _INTERRUPTED
        return result


@click.group(
    cls=Verbs,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="fpsim", message="%(prog)s %(version)s")
def cli() -> None:
    """Try any number format on a real diffusion model, bit for bit, before the hardware exists."""


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        args: the words after ``fpsim``; default those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    words = list(sys.argv[1:] if args is None else args) or ["--help"]
    try:
        code = cli.main(words, prog_name="fpsim", standalone_mode=False)
    except FpsimError as error:
        return _bad_input(str(error))
    except click.UsageError as error:
        where = f"; '{error.ctx.command_path} --help' shows what it takes" if error.ctx else ""
        return _bad_input(error.format_message().rstrip(".") + where)
    except click.ClickException as error:
        return _bad_input(error.format_message())
    except click.Abort:
        return _INTERRUPTED
    return code if isinstance(code, int) else 0


def _bad_input(message: str) -> int:
    click.echo(f"error: {_one_line(message)}", err=True)
    return _BAD_INPUT


def _one_line(message: str) -> str:
    line = " ".join(line.strip() for line in message.splitlines())
    # A name that was given may hold what moves a terminal's cursor, or turns the text around.
    if not line.isprintable():
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 500]} ... {line[-495:]}"
