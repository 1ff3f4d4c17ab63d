"""The rows of Chen et al. 2024, tables I to V, and the factorial that the paper did not separate, on paired images.

    python experiments/paper_tables.py paper [--images 64] [--steps 20] [--lpips FILE] [--smoke]
    python experiments/paper_tables.py factorial
    python experiments/paper_tables.py paper --model FOLDER --prompts FILE --device cuda --images 10000 --steps 50 \
        --rounding-iters 20000

``paper``: everything per tensor, as the paper has it. FP rows have formats searched tensor by tensor (Algorithm 1),
learned ones learned rounding as well; widths go down to where rounding to nearest collapses. ``factorial``: {INT4, FP4}
x {per tensor, per channel, blocks of 16 and 32} x {nearest, learned} x {INT8, FP8 activations}, formats fixed.
PSNR, SSIM and LPIPS compare with the full-precision images of the same noise. Each cell is a run of ``fpsim simulate``
in a folder of its own, so that an interrupted table goes on. Finished runs of other code are refused; ``--as-is``
prints what the folder holds, under the runs' own hashes. With --model, a local diffusers folder such as Stable
Diffusion 1.5 or SDXL takes the bundled model's place.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from common import Setting, add_options, called, lpips, setting, simulated

TENSOR = ("--weights-granularity", "tensor")
#: Of learned rounding in the factorial's cells.
ITERATIONS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A line of a table: its name, and the words after ``fpsim simulate`` that make it."""

    name: str
    words: tuple[str, ...]

    @property
    def folder(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.name).strip("-").lower()


def paper(searched: Path, how: Setting) -> list[Cell]:
    """The paper's rows, and lower widths."""
    cells = [Cell(name="INT8/INT8", words=("--quant", "int8/int8", *TENSOR))]
    for bits, fmt in ((8, "e4m3"), (4, "e2m1"), (3, "e1m1")):
        policy = str(searched / f"w{bits}a8.toml")
        cells.append(Cell(name=f"FP{bits}/FP8 nearest", words=("--policy", policy)))
        if bits < 8:
            learned = ("--method", "chen2024", "--quant", f"{fmt}/e4m3", *TENSOR, *how.rounding(None), *how.searching)
            cells.append(Cell(name=f"FP{bits}/FP8 learned", words=learned))
            cells.append(Cell(name=f"INT{bits}/INT8 nearest", words=("--quant", f"int{bits}/int8", *TENSOR)))
    return cells


def factorial(_searched: Path, how: Setting) -> list[Cell]:
    """{INT4, FP4} x granularity x rounding x activations."""
    cells = []
    for weights, granularity, rounding, acts in product(
        ("int4", "e2m1"), ("tensor", "channel", "block:16", "block:32"), ("nearest", "learned"), ("int8", "e4m3")
    ):
        learned = ("--method", "chen2024", "--no-format-search", *how.rounding(ITERATIONS))
        method = learned if rounding == "learned" else ()
        words = ("--quant", f"{weights}/{acts}", "--weights-granularity", granularity, *method)
        cells.append(Cell(name=f"{weights} {granularity} {rounding}, {acts}", words=words))
    return cells


def search(folder: Path, how: Setting) -> None:
    """Write the searched policies: weights of 8, 4 and 3 bits, activations of 8."""
    folder.mkdir(parents=True, exist_ok=True)
    for bits in (8, 4, 3):
        out = folder / f"w{bits}a8.toml"
        if not out.exists():
            words = ["search", "--weights-bits", str(bits), "--acts-bits", "8", *how.sampling]
            called([*words, "--calibration-images", str(min(16, how.images)), "--out", str(out)])


def rows(cells: list[Cell], folder: Path, how: Setting, *, as_is: bool) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Run what is not there yet, and yield each cell's record."""
    for number, cell in enumerate(cells, 1):
        print(f"{number}/{len(cells)} {cell.name}", file=sys.stderr, flush=True)
        out = folder / cell.folder
        record = simulated(cell.words, out, how, as_is=as_is)
        row = record["rows"][0]
        yield cell, {"hash": record["run_hash"], "far": lpips(out, row["label"], how), **row}


def line(cell: Cell, record: dict[str, Any]) -> str:
    """A row of the table; sparsity is the share of zeros among all weights after rounding."""
    layers = [layer for layer in record["layers"] if layer.get("weight_sparsity") is not None]
    count = sum(layer["weight_count"] for layer in layers)
    zeros = sum(layer["weight_sparsity"] * layer["weight_count"] for layer in layers) / count if count else 0.0
    per_image = sorted(map(float, record["psnr_db"]["per_image"]))
    far = "" if record["far"] is None else f"  {record['far'][0]:6.4f}"
    return (
        f"{cell.name:<30}  {float(record['psnr_db']['mean']):>7.2f}  {per_image[len(per_image) // 10]:>8.2f}  "
        f"{record['ssim']['mean']:>6.4f}{far}  {100 * zeros:>6.2f}  "
        f"{record['model_bytes'] / 1e6:>8.2f}  {record['hash']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("paper", "factorial"), nargs="?", default="paper")
    parser.add_argument("--as-is", action="store_true", help="print finished runs even where other code made them")
    add_options(parser, "runs/paper_tables")
    args = parser.parse_args()
    how = setting(args)
    folder = args.folder / how.folder
    if args.table == "paper":
        search(folder / "searched", how)
    made: dict[str, Callable[[Path, Setting], list[Cell]]] = {"paper": paper, "factorial": factorial}
    cells = made[args.table](folder / "searched", how)
    print(f"{args.table}: {how.model} model, against full precision\n{how.tier}")
    head = "" if how.lpips is None else "   LPIPS"
    print(f"{'weights/activations':<30}  PSNR dB  10th pct    SSIM{head}  zero %  model MB  run")
    for cell, record in rows(cells[:2] if args.smoke else cells, folder / args.table, how, as_is=args.as_is):
        print(line(cell, record), flush=True)


if __name__ == "__main__":
    main()
