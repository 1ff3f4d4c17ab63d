"""Write npz files whose bytes depend on the arrays alone, and never leave half a file behind."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError

_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX, _READ_WRITE = 3, 0o600 << 16


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary stream whose content appears under ``path`` only when all of it was written.

    Raises:
        FpsimError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FpsimError(
                f"{path} cannot be written ({error.strerror or error}): make room or choose another place"
            ) from error
        raise


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays as an uncompressed npz file: same arrays, same bytes, on any day and machine.

    Args:
        path: The file; its folder exists.
        arrays: Array names (``arr_0`` is the usual one for images) and arrays.

    Raises:
        FpsimError: The file cannot be written.
    """
    with atomic(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_DATE)
            entry.create_system, entry.external_attr = _UNIX, _READ_WRITE
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def read_npz(path: Path, only: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """Read the arrays of an npz file, or only the named ones that it has; objects are refused.

    Raises:
        FpsimError: The file is missing, damaged or holds pickled objects.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if only is None or name in only}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise FpsimError(f"{path} cannot be read as npz ({reason}): delete it and run again") from error
