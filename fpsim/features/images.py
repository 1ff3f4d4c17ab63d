"""Sets of images as the user names them: a row of a run, an npz file, or a folder of PNGs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name
from fpsim.sample.npz import read_npz

_ROW = "full precision"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """Images, and what is known of where they come from.

    Attributes:
        name: as the user gave it.
        images: uint8 [N, H, W, C].
        run: the sections ``model`` and ``sampling`` of the run's record, None where there is none.
        home: folder for what is computed from the images.
    """

    name: str
    images: NDArray[np.uint8]
    run: dict[str, Any] | None
    home: Path

    def sha256(self) -> str:
        """Hash of the images and their shape."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()

    def first(self, count: int | None) -> ImageSet:
        """The first ``count`` images, or all.

        Raises:
            FpsimError: there are not that many.
        """
        if count is not None and count > len(self.images):
            raise FpsimError(f"{self.name} holds {len(self.images)} images, so the first {count} cannot be taken")
        return replace(self, images=self.images[:count])


def read(text: str) -> ImageSet:
    """Read a set of images.

    Args:
        text: ``RUN#ROW`` (a folder of ``fpsim simulate`` and a row's label, or ``full precision``), an npz file with
            uint8 NHWC images under ``arr_0``, or a folder of PNGs of one size, taken in the order of their names.

    Raises:
        FpsimError: there is no such thing, or it holds no images.
    """
    path = Path(text)
    check_name(path)
    folder, mark, label = text.rpartition("#")
    if mark and not path.exists():
        return _row(text, Path(folder), label)
    if path.is_dir() and (path / "run.json").is_file():
        labels = ", ".join(_rows(path))
        raise FpsimError(f"{text} is a run; say which of its rows, such as '{text}#{_ROW}' (there are: {labels})")
    if path.is_dir():
        return _checked(ImageSet(name=text, images=_pngs(path), run=None, home=path))
    if not path.is_file():
        raise FpsimError(f"there is no {text!r}: give an npz file, a folder of PNGs, or RUN#ROW")
    return _npz(text, path)


def _npz(name: str, path: Path) -> ImageSet:
    try:
        found = read_npz(path, ("arr_0",))
    except FpsimError as error:
        raise FpsimError(f"{path} is no npz file that can be read: give uint8 NHWC images under arr_0") from error
    if "arr_0" not in found:
        raise FpsimError(f"{path} holds no images: there is no array 'arr_0' in it")
    run = path.parent.parent
    is_run = path.parent.name == "images" and (run / "run.json").is_file()
    home = run if is_run else path.parent
    return _checked(ImageSet(name=name, images=found["arr_0"], run=_record(run) if is_run else None, home=home))


def _row(name: str, run: Path, label: str) -> ImageSet:
    files = _rows(run)
    if label not in files:
        raise FpsimError(f"{run} has no row {label!r}; it has: {', '.join(files)}")
    return _npz(name, run / files[label])


def _rows(run: Path) -> dict[str, str]:
    """The image files of a run by their rows' labels."""
    record = _run_json(run)
    try:
        return {row["label"]: row["images"] for row in (record["reference"], *record["rows"])}
    except (KeyError, TypeError):
        raise FpsimError(
            f"{run / 'run.json'} names no images: give the folder of a finished 'fpsim simulate'"
        ) from None


def _record(run: Path) -> dict[str, Any]:
    record = _run_json(run)
    return {key: record[key] for key in ("model", "sampling") if isinstance(record.get(key), dict)}


def _run_json(run: Path) -> dict[str, Any]:
    path = run / "run.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FpsimError(f"{path} cannot be read ({error}); give the folder of a finished 'fpsim simulate'") from error


def _pngs(folder: Path) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise FpsimError("reading PNGs needs Pillow; pip install 'fpsim[plot]' brings it") from None
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".png")
    if not files:
        raise FpsimError(f"there are no PNGs in {folder}: give a folder of PNGs, an npz file, or RUN#ROW")
    images: list[NDArray[np.uint8]] = []
    for file in files:
        try:
            with Image.open(file) as opened:
                grey = opened.mode in ("1", "L")
                image = np.asarray(opened.convert("L" if grey else "RGB"))
        except OSError as error:
            raise FpsimError(f"{file} is no PNG that can be read ({error})") from error
        images.append(image[..., None] if grey else image)
        if images[-1].shape != images[0].shape:
            raise FpsimError(
                f"{file} has shape {images[-1].shape}, {files[0].name} {images[0].shape}: images of one set have one"
            )
    return np.stack(images)


def _checked(found: ImageSet) -> ImageSet:
    images = found.images
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise FpsimError(f"{found.name} holds {images.dtype} {images.shape}; images are uint8 [N, H, W, C]")
    return found
