"""Features are computed once: batch by batch into a folder, then one file, named after what decides them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.features.images import ImageSet
from fpsim.features.network import FeatureNetwork, Features
from fpsim.sample.npz import read_npz, write_npz
from fpsim.sample.store import canonical

#: Images that a network sees at once: fixed, since the last bits of a convolution depend on it.
BATCH = 32


def features_of(
    found: ImageSet, network: FeatureNetwork, *, spatial: bool = False, folder: Path | None = None
) -> Features:
    """The features of a set of images, from the cache or computed into it.

    Args:
        found: the images.
        network: the feature network.
        spatial: whether the spatial maps are wanted (and kept) as well.
        folder: the cache's folder; the set's own home without it. The file is ``features-<hash>.npz``.

    Raises:
        FpsimError: the network has no spatial maps, a feature is not finite, or the folder cannot be written.
        KeyboardInterrupt: finished batches are kept.
    """
    home = found.home if folder is None else folder
    digest = found.sha256()
    paths = {maps: home / f"features-{_key(digest, network, maps)}.npz" for maps in (spatial, True)}
    for path in paths.values():  # a file with maps serves those who want none
        if path.is_file():
            return _features(read_npz(path), path, len(found.images))
    try:
        home.mkdir(parents=True, exist_ok=True)
        return _compute(found, network, paths[spatial], spatial)
    except OSError as error:
        raise FpsimError(
            f"features cannot be kept in {home} ({error.strerror}); choose a folder: --cache DIR"
        ) from error


def _key(digest: str, network: FeatureNetwork, spatial: bool) -> str:
    decides = {"images": digest, "network": network.record.as_dict(), "batch": BATCH, "spatial": spatial}
    if network.device != "cpu":
        decides["device"] = network.device  # the last bits differ
    return hashlib.sha256(canonical(decides).encode()).hexdigest()[:16]


def _compute(found: ImageSet, network: FeatureNetwork, path: Path, spatial: bool) -> Features:
    partial = path.with_suffix(".partial")
    partial.mkdir(exist_ok=True)
    starts = range(0, len(found.images), BATCH)
    try:
        for number, start in _progress(starts, found.name):
            batch = partial / f"batch-{number:06d}.npz"
            if not batch.is_file():
                images = found.images[start : start + BATCH]
                write_npz(batch, _arrays(network(images), spatial, network.record.name, start))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; finished batches are kept in {partial}: run the same command to go on"
        ) from None
    parts = [read_npz(partial / f"batch-{number:06d}.npz") for number in range(len(starts))]
    merged = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    write_npz(path, merged)
    shutil.rmtree(partial)
    return _features(merged, path, len(found.images))


def _arrays(features: Features, spatial: bool, name: str, start: int) -> dict[str, NDArray[np.float32]]:
    if spatial and features.spatial is None:
        raise FpsimError(f"{name} returns no spatial maps, which sFID needs: use Inception's file, or leave sfid out")
    arrays = {"pooled": features.pooled}
    if spatial and features.spatial is not None:
        arrays["spatial"] = features.spatial
    for values in arrays.values():
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise FpsimError(
                f"{name} returns features that are not finite for image {start + bad[0]}: look at it, or at the network"
            )
    return arrays


def _features(arrays: dict[str, NDArray[np.float32]], path: Path, count: int) -> Features:
    if "pooled" not in arrays or len(arrays["pooled"]) != count:
        raise FpsimError(f"{path} holds no features of {count} images: delete it and run again")
    return Features(pooled=arrays["pooled"], spatial=arrays.get("spatial"))


def _progress(starts: range, name: str) -> Iterator[tuple[int, int]]:
    from tqdm import tqdm

    bar: Iterator[tuple[int, int]] = tqdm(
        enumerate(starts), total=len(starts), desc=f"features of {name}", unit="batch", disable=None
    )
    return bar
