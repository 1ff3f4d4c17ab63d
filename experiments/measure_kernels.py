"""Times of a diffusion model's own kernels on the machine at hand, as data for ``fpsim cost``.

    python experiments/measure_kernels.py --model sd15,sdxl [--as h200] [--seconds 60] [--out FOLDER] [--smoke]

Every distinct operation of the models' denoisers (convolutions, linear layers, attention, norms, activations,
elementwise, copies) is timed at one sample. On a CPU in fp32. With CUDA in fp32, tf32, fp16 and bf16, and the products
of linear layers and convolutions, as matrices, in FP8 (``torch._scaled_mm``, e4m3, fast accumulation, bf16 out) and
INT8 (``torch._int_mm``); what the library refuses is left out and counted. Writes

- ``kernels-NAME.csv``: a row for each operation and type: shape, bytes, seconds, rate, device, driver, date;
- ``calibration-NAME.toml`` for ``fpsim cost --calibration``, fitted to the rows of fp32 on a CPU and of bf16, FP8 and
  INT8 on a GPU. ``--as`` names the catalogue's device that this one is; without it the file describes the machine.

``--list FILE`` only writes the operations, which needs diffusers; ``--operations FILE`` measures those, where diffusers
is missing. FP8, INT8, tf32, fp16 and bf16 need CUDA: no machine without it measured them.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import torch
from measure_kernels_calls import REFUSED, Row, call, machine, types
from measure_kernels_fit import calibration

from fpsim.cost.operations import Operation
from fpsim.cost.timing import timed
from fpsim.errors import FpsimError

COLUMNS = (
    *("device", "driver", "date", "torch", "models", "dtype", "kind", "op", "count", "batch", "m", "n", "k"),
    *("weights", "inputs", "outputs", "bytes", "microseconds", "tflops", "gb_s"),
)
#: Operations of a smoke test, the largest of every class.
SMOKE = 21
Operations = list[tuple[Operation, int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sd15,sdxl", help="comma-separated names")
    parser.add_argument("--as", dest="known", metavar="DEVICE", help="the catalogue's device that this one is: h200")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="by default CUDA where it is")
    parser.add_argument("--seconds", type=float, default=60, help="of each type")
    parser.add_argument("--out", type=Path, default=Path("runs/kernels"))
    parser.add_argument("--list", type=Path, metavar="FILE", help="only write the operations")
    parser.add_argument("--operations", type=Path, metavar="FILE", help="measure those of --list")
    parser.add_argument("--smoke", action="store_true", help="a few operations of the bundled model, on the CPU")
    args = parser.parse_args()
    if args.smoke:
        args.model, args.seconds, args.device = "bundled", 10.0, "cpu"
    try:
        run(args)
    except FpsimError as error:
        sys.exit(f"measure_kernels: {error}")


def run(args: argparse.Namespace) -> None:
    """List operations, or measure and fit."""
    found = listed(args.operations) if args.operations else traced(args.model)
    if args.list:
        args.list.write_text(json.dumps([[asdict(operation), count] for operation, count in found]), encoding="utf-8")
        print(f"wrote {len(found)} operations of {args.model} to {args.list}")
        return
    on = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if on == "cuda" and not torch.cuda.is_available():
        raise FpsimError("torch sees no CUDA device; measure the CPU with --device cpu")
    found = found[:SMOKE] if args.smoke else found
    about = {**machine(on), "models": args.model.replace(",", " ")}
    rows = [row for dtype in types(on) for row in measured(found, on, dtype, args.seconds)]
    show(rows, about, on)
    args.out.mkdir(parents=True, exist_ok=True)
    name = args.known or re.sub(r"[^a-z0-9]+", "-", about["device"].lower()).strip("-")
    write(args.out / f"kernels-{name}.csv", rows, about)
    text, error = calibration(rows, on, name, about, known=args.known)
    (args.out / f"calibration-{name}.toml").write_text(text, encoding="utf-8")
    print(f"the calibration's predictions are off by {error:.0f} % on average, of the rows that it was fitted to")
    print(f"wrote kernels-{name}.csv and calibration-{name}.toml to {args.out}")


def traced(models: str) -> Operations:
    """The operations of models that differ in more than their layer, and their numbers, largest first by class."""
    from fpsim.cost.workload import load

    counts: Counter[Operation] = Counter()
    for name in models.split(","):
        counts.update(replace(op, layer="") for op in load(name.strip()).traces[0].denoiser.operations)
    rank: Counter[str] = Counter()
    order = []
    for operation in sorted(counts, key=lambda op: -(op.flops + op.inputs + op.outputs)):
        rank[operation.kind] += 1
        order.append((rank[operation.kind], operation))
    return [(operation, counts[operation]) for _, operation in sorted(order, key=lambda item: item[0])]


def listed(path: Path) -> Operations:
    """The operations of a file.

    Raises:
        FpsimError: it cannot be read.
    """
    try:
        pairs = json.loads(path.read_text(encoding="utf-8"))
        return [(Operation(**{**item, "gemm": item["gemm"] and tuple(item["gemm"])}), int(n)) for item, n in pairs]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FpsimError(f"{path} holds no operations: {error}; write it with --list") from None


def measured(found: Operations, on: str, dtype: str, seconds: float) -> list[Row]:
    """Time operations in one type until the time is over."""
    rows: list[Row] = []
    refused, end = 0, time.perf_counter() + seconds
    for done, (operation, count) in enumerate(found):
        if rows and time.perf_counter() > end:
            print(f"{dtype}: {len(found) - done} of {len(found)} operations are left out, time is over")
            break
        try:
            made = call(operation, on, dtype)
            if made is None:
                continue
            spent = timed(made, on, budget=min(0.05, seconds / 1000), least=2)
        except REFUSED as error:
            refused, why = refused + 1, str(error).splitlines()[0][:100]
            continue
        rows.append(Row(operation=operation, count=count, dtype=dtype, seconds=spent))
    if refused:
        print(f"{dtype}: {refused} operations are refused: {why}")
    return rows


def show(rows: list[Row], about: dict[str, str], on: str) -> None:
    """Print a line for each type and class: operations, time of one step, and the rate that it comes to."""
    print(f"{about['device']}, driver {about['driver']}, torch {about['torch']}, {about['date']}; one sample")
    print(f"{'type':6s}{'class':13s}{'distinct':>9s}{'ms a step':>11s}{'TFLOPS':>9s}{'best':>9s}{'GB/s':>9s}")
    for dtype, kind in dict.fromkeys((row.dtype, row.operation.kind) for row in rows):
        some = [row for row in rows if (row.dtype, row.operation.kind) == (dtype, kind)]
        spent = sum(row.count * row.seconds for row in some)
        rate = sum(row.count * row.operation.flops for row in some) / spent / 1e12
        best = max(row.operation.flops / row.seconds for row in some) / 1e12
        moved = sum(row.count * row.bytes for row in some) / spent / 1e9
        print(f"{dtype:6s}{kind:13s}{len(some):9d}{1e3 * spent:11.3f}{rate:9.3g}{best:9.3g}{moved:9.3g}")
    if on == "cpu":
        print("fp16, bf16, tf32, FP8 and INT8 need CUDA and were not measured")


def write(path: Path, rows: list[Row], about: dict[str, str]) -> None:
    """Write the rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        for row in rows:
            op = row.operation
            shape = dict(zip(("batch", "m", "n", "k"), op.gemm or ("",) * 4, strict=True))
            sizes = {"weights": op.weights, "inputs": op.inputs, "outputs": op.outputs, "bytes": row.bytes}
            rates = {"tflops": f"{op.flops / row.seconds / 1e12:.5g}", "gb_s": f"{row.bytes / row.seconds / 1e9:.5g}"}
            named = {"dtype": row.dtype, "kind": op.kind, "op": row.op, "count": row.count}
            spent = {"microseconds": f"{1e6 * row.seconds:.5g}"}
            table.writerow({**about, **named, **shape, **sizes, **spent, **rates})


if __name__ == "__main__":
    main()
