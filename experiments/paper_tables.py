"""The rows of Chen et al. 2024, tables I to V, and the factorial that the paper did not separate, on paired images.

    python experiments/paper_tables.py paper [--images 64] [--steps 20] [--smoke]
    python experiments/paper_tables.py factorial

``paper``: everything per tensor, as the paper has it. FP rows have formats searched tensor by tensor (Algorithm 1),
learned ones learned rounding as well; widths go down to where rounding to nearest collapses. ``factorial``: {INT4, FP4}
x {per tensor, per channel, blocks of 16 and 32} x {nearest, learned} x {INT8, FP8 activations}, formats fixed.
PSNR and SSIM compare with the full-precision images of the same noise. Each cell is a run of ``fpsim simulate`` in a
folder of its own, so that an interrupted table goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from fpsim.cli.main import run

TENSOR = ("--weights-granularity", "tensor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A line of a table: its name, and the words after ``fpsim simulate`` that make it."""

    name: str
    words: tuple[str, ...]

    @property
    def folder(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.name).strip("-").lower()


def paper(searched: Path) -> list[Cell]:
    """The paper's rows, and lower widths."""
    cells = [Cell(name="INT8/INT8", words=("--quant", "int8/int8", *TENSOR))]
    for bits, fmt in ((8, "e4m3"), (4, "e2m1"), (3, "e1m1")):
        policy = str(searched / f"w{bits}a8.toml")
        cells.append(Cell(name=f"FP{bits}/FP8 nearest", words=("--policy", policy)))
        if bits < 8:
            learned = ("--method", "chen2024", "--quant", f"{fmt}/e4m3", *TENSOR)
            cells.append(Cell(name=f"FP{bits}/FP8 learned", words=learned))
            cells.append(Cell(name=f"INT{bits}/INT8 nearest", words=("--quant", f"int{bits}/int8", *TENSOR)))
    return cells


def factorial(_searched: Path) -> list[Cell]:
    """{INT4, FP4} x granularity x rounding x activations."""
    cells = []
    for weights, granularity, rounding, acts in product(
        ("int4", "e2m1"), ("tensor", "channel", "block:16", "block:32"), ("nearest", "learned"), ("int8", "e4m3")
    ):
        method = (
            ("--method", "chen2024", "--no-format-search", "--rounding-iters", "300") if rounding != "nearest" else ()
        )
        words = ("--quant", f"{weights}/{acts}", "--weights-granularity", granularity, *method)
        cells.append(Cell(name=f"{weights} {granularity} {rounding}, {acts}", words=words))
    return cells


def search(folder: Path, steps: int, images: int) -> None:
    """Write the searched policies: weights of 8, 4 and 3 bits, activations of 8."""
    folder.mkdir(parents=True, exist_ok=True)
    for bits in (8, 4, 3):
        out = folder / f"w{bits}a8.toml"
        if not out.exists():
            words = ["search", "--weights-bits", str(bits), "--acts-bits", "8", "--steps", str(steps)]
            called([*words, "--calibration-images", str(images), "--out", str(out)])


def called(words: list[str]) -> None:
    """Run the command line quietly; what it says is shown where it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run(words)
    if code:
        sys.exit(f"fpsim {' '.join(words)}: exit code {code}\n{said.getvalue()}")


def rows(cells: list[Cell], folder: Path, images: int, steps: int) -> Iterator[tuple[Cell, dict[str, Any]]]:
    """Run what is not there yet, and yield each cell's record."""
    for number, cell in enumerate(cells, 1):
        print(f"{number}/{len(cells)} {cell.name}", file=sys.stderr, flush=True)
        out = folder / cell.folder
        common = ["--steps", str(steps), "--num-images", str(images), "--out", str(out)]
        called(["simulate", *cell.words, *common])
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
        yield cell, {"hash": record["run_hash"], **record["rows"][0]}


def line(cell: Cell, record: dict[str, Any]) -> str:
    """A row of the table; sparsity is the share of zeros among all weights after rounding."""
    layers = [layer for layer in record["layers"] if layer.get("weight_sparsity") is not None]
    count = sum(layer["weight_count"] for layer in layers)
    zeros = sum(layer["weight_sparsity"] * layer["weight_count"] for layer in layers) / count if count else 0.0
    per_image = sorted(record["psnr_db"]["per_image"])
    return (
        f"{cell.name:<30}  {record['psnr_db']['mean']:>7.2f}  {per_image[len(per_image) // 10]:>8.2f}  "
        f"{record['ssim']['mean']:>6.4f}  {100 * zeros:>6.2f}  "
        f"{record['model_bytes'] / 1e6:>8.2f}  {record['hash']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=("paper", "factorial"), nargs="?", default="paper")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("runs/paper_tables"))
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        args.images, args.steps = 2, 2
    folder = args.folder / f"{args.images}x{args.steps}"
    search(folder / "searched", args.steps, min(16, args.images))
    cells = {"paper": paper, "factorial": factorial}[args.table](folder / "searched")
    cells = cells[:2] if args.smoke else cells
    print(f"{args.table}: bundled model, {args.images} images, {args.steps} steps, seed 0, against full precision")
    print(f"{'weights/activations':<30}  PSNR dB  10th pct    SSIM  zero %  model MB  run")
    for cell, record in rows(cells, folder / args.table, args.images, args.steps):
        print(line(cell, record), flush=True)


if __name__ == "__main__":
    main()
