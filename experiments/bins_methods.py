"""Formats and scales that follow the timestep, by method: what 4 and 8 timestep bins of inputs gain over one.

    python experiments/bins_methods.py [--images 16] [--steps 20] [--seeds 2] [--methods rtn,chen2024] [--smoke]

chen2024 searches an encoding and a bias for each input in each bin, rtn fits a scale, q-diffusion fits and learns a
step size (from the start of least squared error: its usual moving average is decided by the few calls that a bin has).
Weights are wide and the same for all numbers of bins. Each row is compared with the same row of one bin, image by
image, over all sets of noise; the mean of the images' PSNR says more than PSNR of their mean error, which the worst
image decides. Runs are kept in --folder: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
from common import Setting, add_options, setting, simulated
from numpy.typing import NDArray

from fpsim.features.images import read
from fpsim.measure.paired import psnr_db

#: Rows and options of each method; 8-bit weights, so that inputs decide.
METHODS = {
    "chen2024": ("--quant", "e4m3/e4m3", "--quant", "e4m3/e2m3", "--quant", "e4m3/e2m1"),
    "rtn": ("--quant", "int8/int8", "--quant", "int8/int6", "--quant", "int8/int4", "--quant", "e4m3/e4m3"),
    "q-diffusion": ("--quant", "int8/int6", "--quant", "int8/int4", "--act-init", "mse"),
}
#: q-diffusion's weights are not the question here: few iterations, on few samples.
ITERATIONS, SAMPLES = 30, 8
BINS = (1, 4, 8)
#: An identical image counts as so many dB.
MOST = 80.0


def images_psnr(method: str, bins: int, seed: int, how: Setting, folder: Path) -> dict[str, NDArray[np.float64]]:
    """PSNR of each image against full precision in dB, by row."""
    out = folder / f"{method}-{bins}-{seed}"
    print(f"{method}, {bins} bins, seed {seed}", file=sys.stderr, flush=True)
    words = ["--method", method, *METHODS[method], "--timestep-bins", str(bins), "--seed", str(seed)]
    if method == "q-diffusion":
        words += [*how.rounding(ITERATIONS), "--rounding-samples", str(min(SAMPLES, how.images))]
        words += ["--act-iters", str(min(50, how.iterations or 50))]
    elif method == "chen2024":
        words += how.searching
    record = simulated(tuple(words), out, how)
    full = read(f"{out}#full precision").images
    labels = [row["label"] for row in record["rows"] if row["label"] != "full precision"]
    return {label: np.minimum(psnr_db(full, read(f"{out}#{label}").images), MOST) for label in labels}


def lines(method: str, found: dict[int, list[dict[str, NDArray[np.float64]]]]) -> list[str]:
    """A row a format and number of bins: the mean over images, and the paired gain over one bin."""
    said = []
    for label in found[BINS[0]][0]:
        one = np.concatenate([each[label] for each in found[BINS[0]]])
        for bins, sets in found.items():
            ours = np.concatenate([each[label] for each in sets])
            text = f"{method:<12}{label:<12}{bins:5}{ours.mean():10.2f}{ours.min():9.2f}"
            if bins != BINS[0]:
                gain = ours - one
                error = statistics.stdev(gain) / len(gain) ** 0.5
                text += f"{gain.mean():+11.2f} ± {error:.2f}{int((gain > 0).sum()):6} of {len(gain)}"
            said.append(text)
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default=",".join(METHODS))
    add_options(parser, "runs/bins_methods", images=16)
    args = parser.parse_args()
    methods = args.methods.split(",")
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise SystemExit(f"error: --methods {unknown[0]!r}: there are {', '.join(METHODS)}")
    if args.images * args.seeds < 2 or args.seeds < 1:
        raise SystemExit("error: a gain's error needs two images; give --images or --seeds of at least 2")
    how, seeds = setting(args), range(1 if args.smoke else args.seeds)
    counts = BINS[:1] + ((2,) if args.smoke else BINS[1:])
    folder = args.folder / how.folder
    print(f"{how.model} model, {how.images} images, {how.steps} steps, seeds {', '.join(map(str, seeds))}")
    print("PSNR in dB of images against full precision of the same noise; gain over one bin, image by image")
    print(
        f"{'method':<12}{'weights/in':<12}{'bins':>5}{'mean':>10}{'worst':>9}{'gain ± error':>18}{'better':>12}",
        flush=True,
    )
    for method in methods:
        found = {bins: [images_psnr(method, bins, seed, how, folder) for seed in seeds] for bins in counts}
        print("\n".join(lines(method, found)), flush=True)


if __name__ == "__main__":
    main()
