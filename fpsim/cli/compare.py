"""``fpsim compare``: formats side by side, what they can represent and what they make of data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from fpsim.cli.options import complete_format, resolve
from fpsim.cli.render import Column, Table, output_options, show

if TYPE_CHECKING:
    from fpsim.cli.compare_data import Tensor
    from fpsim.cli.compare_rows import Row


@click.command(epilog="Example: fpsim compare e4m3 e5m2 int8 mxfp8 --data student-t:5")
@click.argument("names", nargs=-1, required=True, metavar="FORMAT...", shell_complete=complete_format)
@click.option(
    "--data",
    default="normal",
    show_default=True,
    metavar="DATA",
    help="normal, laplace, student-t:NU (unit variance), or FILE or FILE:NAME (.npy, .npz, .safetensors).",
)
@click.option(
    "--samples",
    type=click.IntRange(16, 1 << 28),
    default=1 << 18,
    show_default=True,
    help="Values to draw; of a FILE's tensors, values on which the scale is searched.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the drawn values.")
@click.option("--formats-file", "files", multiple=True, metavar="FILE", help="TOML file of formats (repeatable).")
@output_options
def compare(*, names: tuple[str, ...], data: str, samples: int, seed: int, files: tuple[str, ...], output: str) -> None:
    """Compare number formats: range, precision, use of codes, and error on data.

    The error is the signal-to-quantization-noise ratio at each format's best scale, one a tensor: the scale of
    least squared error. Block formats have scales of their own.
    """
    formats = [resolve(name, files=files) for name in dict.fromkeys(names)]
    from fpsim.cli.compare_data import tensors
    from fpsim.cli.compare_rows import rows

    found = rows(formats, _progress(tensors(data, samples, seed), data), samples, seed)
    if output in ("json", "csv"):
        machine = _machine(found)
        show(output, lambda: machine, lambda: machine, lambda: _document(found, data, samples, seed))
        return
    from fpsim.cli.compare_text import abilities, fits

    show(output, lambda: abilities(found), lambda: _machine(found), dict)
    click.echo()
    show(output, lambda: fits(found, data, samples, seed), lambda: _machine(found), dict)


def _progress(data: Iterable[Tensor], name: str) -> Iterable[Tensor]:
    """Count a file's tensors on stderr, if that is a terminal."""
    from fpsim.cli.compare_data import is_drawn

    if is_drawn(name):
        return data
    from tqdm import tqdm

    counted: Iterable[Tensor] = tqdm(data, unit=" tensors", disable=None, leave=False)
    return counted


def _machine(found: Sequence[Row]) -> Table:
    from fpsim.cli.compare_rows import record

    records = [record(row) for row in found]
    cells = [["" if value is None else str(value) for value in row.values()] for row in records]
    return Table(columns=tuple(Column(name=name) for name in records[0]), rows=cells)


def _document(found: Sequence[Row], data: str, samples: int, seed: int) -> dict[str, Any]:
    from fpsim.cli.compare_data import about, is_drawn
    from fpsim.cli.compare_rows import record, tensor_record

    return {
        "data": {
            "asked": data,
            "about": about(data),
            "drawn": is_drawn(data),
            "values": sum(result.values for result in found[0].results),
            "samples": samples,
            "seed": seed,
        },
        "formats": [record(row) for row in found],
        "tensors": [tensor_record(row, result) for row in found for result in row.results],
    }
