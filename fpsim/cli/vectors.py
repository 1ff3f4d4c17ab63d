"""``fpsim vectors``: golden vectors for RTL and kernels, from the exact specification."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fpsim.cli.facts import facts
from fpsim.cli.options import format_option, format_options, resolve
from fpsim.cli.vectors_dot import check_options, dot_text
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat
from fpsim.number.conversion import RANDOM_BITS, Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.user_files import check_name

_WRITERS = {".csv": "csv_text", ".json": "json_text", ".hex": "hex_text", ".mem": "hex_text"}


@click.command(
    epilog="Examples: fpsim vectors --format e4m3 --op encode --input bf16 --out e4m3.hex; "
    "fpsim vectors --op dot --arch hopper --dtype e4m3 --count 1000 --out dot.csv"
)
@format_option("Number format of at most 16 bits, or block format.")
@click.option("--op", type=click.Choice(["quantize", "encode", "decode", "dot"]), default="quantize", show_default=True)
@format_options
@click.option("--rounding", default="ties-to-even", metavar="R", show_default=True, help=f"{', '.join(Rounding)}.")
@click.option("--overflow", default="saturate", metavar="O", show_default=True, help=f"{', '.join(Overflow)}.")
@click.option("--nan", default="keep", metavar="N", show_default=True, help=f"{', '.join(NanPolicy)}.")
@click.option("--random-bits", type=int, help=f"Of stochastic rounding; default {RANDOM_BITS}.")
@click.option("--input", "kind", type=click.Choice(["f32", "f64", "bf16", "f16"]), default="f32", show_default=True)
@click.option(
    "--count", type=click.IntRange(min=0), default=1000, show_default=True, help="Random inputs (blocks, dot: 100)."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random inputs and of stochastic rounding.")
@click.option("--arch", metavar="ID", help="dot: whose matrix unit, such as hopper, ada, ampere or blackwell-sm100.")
@click.option("--dtype", metavar="NAME", help="dot: the operands' type, such as e4m3, or two: e4m3,e5m2.")
@click.option("--instruction", metavar="ID", help="dot: mma, wgmma or tcgen05; default the architecture's first.")
@click.option("--accumulator", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True, help="dot.")
@click.option("--out", required=True, metavar="FILE", help="Ends in .csv, .json, .hex or .mem; '-' is CSV to stdout.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def vectors(**options: Any) -> None:
    """Write golden vectors: inputs and the exact results.

    First the cases at which implementations go wrong (specials, subnormals, every value, every tie and its
    neighbours, the overflow edge, double rounding), each with its class, then random ones. The same command gives
    the same bytes. 'dot' is one instruction of a GPU's matrix unit: d = a·b + c, bit for bit. .hex and .mem are for
    $readmemh: input and expected bits in one word, described by the comments.
    """
    out = str(options["out"])
    check_options(options)
    suffix = ".csv" if out == "-" else Path(out).suffix.lower()
    if suffix not in _WRITERS:
        raise FpsimError(f"--out {out}: what to write follows from its end; choose {', '.join(_WRITERS)}, or '-'")
    check_name(Path(out))
    if out != "-" and Path(out).exists() and not Path(out).is_file():
        raise FpsimError(f"--out {out} is no regular file; give another name")
    if out != "-" and Path(out).exists() and not options["overwrite"]:
        raise FpsimError(f"--out {out} exists; give another name, or --overwrite to replace it")
    text, count = dot_text(options, _WRITERS[suffix]) if options["op"] == "dot" else _made(options, suffix)
    if out == "-":
        sys.stdout.write(text)
        return
    from fpsim.report.files import write_atomically

    write_atomically(Path(out), text.encode())
    click.echo(f"{out}: {count:,} vectors", err=True)


def _made(options: dict[str, Any], suffix: str) -> tuple[str, int]:
    """The file's text and how many vectors it holds."""
    from tqdm import tqdm

    from fpsim.conformance import vector_block_files, vector_files
    from fpsim.conformance.inputs import INPUTS
    from fpsim.conformance.vector_blocks import BlockRequest, block_vectors
    from fpsim.conformance.vectors import Op, Request, vectors

    keys = ("bias", "specials", "no_subnormals", "files")
    fmt: Any = resolve(options["name"], **{key: options[key] for key in keys}).format
    common: dict[str, Any] = {
        "op": Op(options["op"]),
        "how": _conversion(options),
        "kind": INPUTS[options["kind"]],
    } | {key: options[key] for key in ("count", "seed")}
    files: Any = vector_files
    request: Any
    if isinstance(fmt, BlockFormat):
        given = click.get_current_context().get_parameter_source("count")
        common["count"] = 100 if given is click.core.ParameterSource.DEFAULT else options["count"]
        request, made, files = BlockRequest(format=fmt, **common), block_vectors, vector_block_files
        found: list[Any] = list(tqdm(made(request), unit="block", disable=None, leave=False))
    else:
        request = Request(format=fmt, **common)
        found = list(tqdm(vectors(request), unit="vector", disable=None, leave=False))
    writer = getattr(files, _WRITERS[suffix])
    text = writer(request, found, facts(fmt)) if suffix == ".json" else writer(request, found)
    return text, len(found)


def _conversion(options: dict[str, Any]) -> Conversion:
    policies = {key: options[key] for key in ("rounding", "overflow", "nan")}
    how = Conversion(**policies)
    bits = options["random_bits"]
    if how.deterministic:
        if bits is not None:
            raise FpsimError(f"--random-bits belongs to stochastic rounding, not to '{how.rounding}'; drop it")
        return how
    return Conversion(**policies, random_bits=RANDOM_BITS if bits is None else bits, seed=options["seed"])
