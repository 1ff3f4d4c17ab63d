"""Reading a finished run's folder and writing results into it."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.report import jsonsafe
from fpsim.sample.npz import atomic

_SECTIONS = ("model", "sampling", "quantization", "environment", "command", "reference", "rows")


def load_run(folder: Path) -> dict[str, Any]:
    """The contents of a run folder's ``run.json``.

    Args:
        folder: where ``fpsim simulate --out`` wrote.

    Returns:
        The run, non-finite numbers as floats.

    Raises:
        FpsimError: there is no ``run.json``, it is not JSON, or a section is missing.
    """
    path = Path(folder) / "run.json"
    try:
        run = jsonsafe.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise FpsimError(f"{path}: cannot be read ({error}); give the folder of a finished `fpsim simulate`") from error
    except FpsimError as error:
        raise FpsimError(f"{path}: {error}") from error
    missing = [name for name in _SECTIONS if not isinstance(run, dict) or name not in run]
    if missing:
        raise FpsimError(f"{path}: no {missing[0]!r} in it; give the folder of a finished `fpsim simulate`")
    return dict(run)


def load_images(path: Path) -> NDArray[np.uint8]:
    """The images of one row.

    Args:
        path: an ``.npz`` file.

    Returns:
        uint8 [N, H, W, C], the array ``arr_0``.

    Raises:
        FpsimError: the file is missing or damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images = np.asarray(arrays["arr_0"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise FpsimError(f"{path}: not an npz file with images under arr_0 ({error}); run simulate again") from error
    if images.dtype != np.uint8 or images.ndim != 4:
        raise FpsimError(f"{path}: holds {images.dtype} {images.shape}, but images are uint8 [N, H, W, C]")
    return images


def load_rows(folder: Path, run: Mapping[str, Any]) -> list[tuple[str, NDArray[np.uint8]]]:
    """Labels and images of a run, full precision first, as the sheet wants them.

    Args:
        folder: the run's folder.
        run: its ``run.json``.

    Returns:
        One (label, uint8 [N, H, W, C]) for the reference and for each row.

    Raises:
        FpsimError: an images file is missing or damaged.
    """
    return [(row["label"], load_images(Path(folder) / row["images"])) for row in (run["reference"], *run["rows"])]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that nobody ever sees half of it.

    Args:
        path: where; an existing file is replaced.
        data: the contents.

    Raises:
        FpsimError: the file cannot be written.
    """
    with atomic(path) as stream:
        stream.write(data)


def require(module: str) -> None:
    """Refuse to go on without a library of the extra ``plot``.

    Args:
        module: ``matplotlib`` or ``PIL``.

    Raises:
        FpsimError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise FpsimError(f"the report needs {module}, which is not installed: pip install 'fpsim[plot]'")
