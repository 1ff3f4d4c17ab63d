"""A run's folder: finished batches are kept, so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.sample.npz import atomic, read_npz, write_npz
from fpsim.sample.trajectory import Trajectory, from_arrays


class BatchStore:
    """The finished batches of one labelled series of images, one npz file each.

    Args:
        folder: Where the series of a run are kept; created with the first batch.
        label: What the series is, such as ``e4m3/int8``; characters that a file name cannot have are escaped.
    """

    def __init__(self, folder: Path, label: str) -> None:
        if not label.strip(". "):
            raise FpsimError(f"{label!r} cannot name a series of images: give a label with a letter or digit")
        self.label = label
        self.folder = folder / quote(label, safe="+@=, ")

    def path(self, number: int) -> Path:
        """The file of a batch."""
        return self.folder / f"batch-{number:05d}.npz"

    def has(self, number: int) -> bool:
        """Whether a batch is finished; files appear whole or not at all."""
        return self.path(number).is_file()

    def write(self, number: int, images: NDArray[np.uint8], trajectory: Trajectory | None = None) -> None:
        """Keep a finished batch.

        Args:
            number: Number of the batch, from 0.
            images: uint8 [N, height, width, channels].
            trajectory: The denoiser's calls, if they are wanted later.

        Raises:
            FpsimError: The file cannot be written.
        """
        _make_folder(self.folder)
        write_npz(self.path(number), {"arr_0": images, **({} if trajectory is None else trajectory.arrays())})

    def read(self, number: int) -> tuple[NDArray[np.uint8], Trajectory | None]:
        """A finished batch's images and, if it was kept, its trajectory.

        Raises:
            FpsimError: The batch is missing or its file is damaged.
        """
        path = self.path(number)
        arrays = read_npz(path)
        return _images(arrays, path), from_arrays(arrays, path) if "latents" in arrays else None

    def images(self, number: int) -> NDArray[np.uint8]:
        """A finished batch's images alone; a trajectory beside them is not read.

        Raises:
            FpsimError: The batch is missing or its file is damaged.
        """
        return _images(read_npz(self.path(number), ("arr_0",)), self.path(number))

    def merge(self, batches: int, path: Path | None = None) -> NDArray[np.uint8]:
        """All images of the series in the order of their indices.

        Args:
            batches: How many batches the series has; all must be finished.
            path: If given, an npz file to write them to (``arr_0``, uint8 NHWC, the same bytes each time).

        Raises:
            FpsimError: A batch is missing or damaged, or the file cannot be written.
        """
        images = np.concatenate([self.images(number) for number in range(batches)])
        if path is not None:
            write_npz(path, {"arr_0": images})
        return images


def _images(arrays: Mapping[str, NDArray[Any]], path: Path) -> NDArray[np.uint8]:
    if "arr_0" not in arrays:
        raise FpsimError(f"{path} holds no images (no array 'arr_0'): delete it and run again")
    return arrays["arr_0"]


class RunFolder:
    """An output folder that belongs to one configuration, new or resumed.

    Args:
        path: The folder; created if it does not exist.
        config: Everything that decides the run's results; JSON values.
        overwrite: Whether a run with another configuration is deleted instead of refused.

    Attributes:
        path: The folder.
        sha256: Hash of the configuration's canonical JSON.
        resumed: Whether the folder already held this run.

    Raises:
        FpsimError: The path is a file, cannot be written, or holds a run with another configuration.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], *, overwrite: bool = False) -> None:
        text = canonical(config)
        self.path = path
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        record = path / "resume" / "config.json"
        _make_folder(record.parent, path)
        if overwrite and record.is_file() and record.read_bytes() != text.encode():
            for old in (record.parent, path / "images"):
                shutil.rmtree(old, ignore_errors=True)
            for name in ("run.json", "report.html", "sheet.png"):  # they describe the run that is gone
                (path / name).unlink(missing_ok=True)
            _make_folder(record.parent, path)
        self.resumed = record.is_file()
        if not self.resumed:
            with atomic(record) as stream:
                stream.write(text.encode())
        else:
            _check_same(record, text)

    def make(self, name: str) -> Path:
        """A folder inside the run's folder.

        Raises:
            FpsimError: It cannot be made.
        """
        _make_folder(self.path / name)
        return self.path / name

    def store(self, label: str) -> BatchStore:
        """The batches of one series of this run."""
        return BatchStore(self.path / "resume", label)


def canonical(config: Mapping[str, Any]) -> str:
    """A configuration as JSON that is the same for equal configurations: sorted keys, no spaces.

    Raises:
        FpsimError: A value is not JSON, or not finite.

    >>> canonical({"b": 1, "a": (2,)})
    '{"a":[2],"b":1}'
    """
    try:
        return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise FpsimError(
            f"the run's configuration is not JSON ({error}): use numbers, strings, lists, tables"
        ) from error


def _check_same(record: Path, text: str) -> None:
    folder = record.parent.parent
    try:
        there = json.loads(record.read_bytes())
    except (OSError, ValueError) as error:
        raise FpsimError(f"{record} is damaged ({error}): pass another --out, or delete that folder") from error
    if canonical(there) == text:
        return
    old, new = _flat(there), _flat(json.loads(text))
    keys = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    shown = ", ".join(f"{key} {_short(old.get(key))} there, {_short(new.get(key))} now" for key in keys[:4])
    more = f", and {len(keys) - 4} more" if len(keys) > 4 else ""
    raise FpsimError(f"{folder} already holds another run ({shown}{more}): pass another --out, or the same options")


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}.{key}").items()}
    return {prefix.lstrip("."): json.dumps(value)}


def _short(text: str | None, limit: int = 40) -> str:
    if text is None:
        return "absent"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _make_folder(folder: Path, named: Path | None = None) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        blamed = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        reason = f"{blamed} is a file" if blamed.is_file() else error.strerror or str(error)
        raise FpsimError(f"output folder {named or folder} cannot be made ({reason}): pass another --out") from error
