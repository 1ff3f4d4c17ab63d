"""``fpsim conformance``: is a backend right, bit for bit?"""

from __future__ import annotations

from typing import Any

import click

from fpsim.cli.options import complete_format
from fpsim.cli.render import output_options
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat
from fpsim.number.conversion import Overflow, Rounding
from fpsim.number.names import format as named

_FAILED = 1


@click.command(epilog="Example: fpsim conformance --backend ml_dtypes --format e4m3 --quick")
@click.option(
    "--backend", "name", required=True, metavar="NAME", help="Of fpsim, of a package, or gfloat, ml_dtypes, torch-cast."
)
@click.option(
    "--format", "names", multiple=True, metavar="F", shell_complete=complete_format, help="Number format (repeatable)."
)
@click.option("--rounding", "roundings", multiple=True, metavar="R", help=f"{', '.join(Rounding)} (repeatable).")
@click.option("--overflow", "overflows", multiple=True, metavar="O", help=f"{', '.join(Overflow)} (repeatable).")
@click.option("--width", "widths", multiple=True, type=click.Choice(["32", "64"]), help="Working width (repeatable).")
@click.option("--formats-file", "files", multiple=True, metavar="FILE", help="TOML file of formats (repeatable).")
@click.option("--quick", is_flag=True, help="Directed cases and few random ones.")
@click.option("--full", is_flag=True, help="A million random cases for each row, every value of 16-bit formats.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the random cases.")
@output_options
def conformance(*, quick: bool, full: bool, output: str, **options: Any) -> int:
    """Hold a backend to the exact specification.

    Every format, rounding, overflow policy and width that it offers, by default: specials, subnormals, all values, all
    ties and their neighbours, the overflow edge, double rounding, all 16-bit inputs, random ones, scales and zero
    points. A mismatch is known where a documented fact about the library explains its very bits. Exit code 1 if one
    is not.
    """
    if quick and full:
        raise FpsimError("--quick and --full exclude each other; give one of them")
    from fpsim.cli.conformance_report import report, run_with_progress
    from fpsim.conformance.adapters import find
    from fpsim.conformance.cases import Effort
    from fpsim.conformance.scope import conversions, default_formats

    backend = find(options["name"])
    formats = [_element(name, options["files"]) for name in options["names"]] or default_formats(backend)
    policies = {"roundings": options["roundings"], "overflows": options["overflows"]}
    widths = [int(width) for width in options["widths"]] or [32, 64]
    plan = [
        (fmt, how, width)
        for fmt in formats
        for width in widths
        for how in conversions(backend, fmt, **policies, seed=options["seed"])
    ]
    if not plan:
        raise FpsimError(
            "nothing to compare: none of these formats has a code for the overflow policy; drop --overflow"
        )
    effort = Effort.QUICK if quick else Effort.FULL if full else Effort.NORMAL
    results = run_with_progress(backend, plan, effort, options["seed"])
    if options["names"] and all(result.refused for result in results):
        raise FpsimError(results[0].problem)
    report(backend, results, effort, options["seed"], output)
    return _FAILED if any(result.unknown for result in results) else 0


def _element(name: str, files: tuple[str, ...]) -> Any:
    fmt = named(name, files=files)
    if isinstance(fmt, BlockFormat):
        raise FpsimError(f"{fmt.name} is a block format, which backends see as its elements; give {fmt.element.name}")
    return fmt
