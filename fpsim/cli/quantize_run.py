"""What ``fpsim quantize`` does with its request: read, quantize, write and report, tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from fpsim.cli.quantize_inputs import Source, choose, open_all
from fpsim.cli.quantize_measure import Result, measure
from fpsim.cli.quantize_plain import dequantize, progress, show_plain
from fpsim.cli.quantize_report import Totals, show_results
from fpsim.cli.quantize_request import Request, read_request, target
from fpsim.quant.packed_items import Contents, contents, store
from fpsim.quant.packed_stream import Put, Reader, check_target, writing


def execute(options: Mapping[str, Any]) -> int:
    """Quantize or dequantize as the options say, and return the exit code.

    Raises:
        FpsimError: any option or input is wrong.
    """
    out = target(options)
    request = None if options["dequantize"] else read_request(options)
    with ExitStack() as stack:
        readers = open_all(options["files_in"], stack)
        if out is not None:
            check_target(out, [reader.path for reader in readers], overwrite=options["overwrite"])
        try:
            show = _work(readers, request, out, options["output"])
        except OSError as error:
            click.echo(f"error: {out} cannot be written: {error.strerror or error}", err=True)
            return 1
    show()
    return 0


def _work(readers: Sequence[Reader], request: Request | None, out: Path | None, output: str) -> Callable[[], None]:
    """Do all that may fail, and return what then prints the result."""
    if request is None:
        assert out is not None, "target() wants --out for --dequantize"
        return partial(show_plain, output, dequantize(readers[0], out), out)
    sources = choose(readers, request)
    what = contents((source.item for source in sources), _metadata(readers))
    results = _quantize(sources, what, out)
    before = sum(reader.size for reader in readers)
    return partial(show_results, output, request, results, Totals.of(results, before, what.file_bytes, out))


def _metadata(readers: Sequence[Reader]) -> dict[str, str]:
    """What the files say besides their tensors; of two texts under one key the first stays."""
    merged: dict[str, str] = {}
    for reader in readers:
        merged = {**reader.header.metadata, **merged}
    return merged


def _quantize(sources: Sequence[Source], what: Contents, out: Path | None) -> list[Result]:
    with _put(what, out) as put, progress("quantize", [source.item for source in sources]) as bar:
        return [_one(source, put, bar) for source in sources]


def _one(source: Source, put: Put | None, bar: Any) -> Result:
    item = source.item
    if item.record is None:
        parts, errors = None, None
    else:
        x = item.values()
        parts = item.parts(x)
        errors = measure(item, x, parts)
    if put is not None:
        store(item, parts, put)
    bar.update(item.size)
    return Result(source=source, bytes_before=item.size, bytes_after=item.packed_size, errors=errors)


@contextmanager
def _put(what: Contents, out: Path | None) -> Iterator[Put | None]:
    if out is None:
        yield None
        return
    with writing(out, what.entries, what.sizes, what.metadata) as put:
        yield put
