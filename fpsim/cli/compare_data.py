"""The data of ``fpsim compare``: drawn from a distribution, or the floating-point tensors of a file."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number.user_files import check_name

_FILE = re.compile(r"(.+\.(npy|npz|safetensors))(?::(.+))?", re.DOTALL)
_DISTRIBUTIONS = ("normal", "laplace", "student-t")
_KINDS = "normal, laplace, student-t:NU, or a .npy, .npz or .safetensors file (FILE:NAME for one tensor)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tensor:
    """A tensor by its name: float16, float32 or float64; bfloat16 as float32."""

    name: str
    values: NDArray[Any]


def tensors(data: str, samples: int, seed: int) -> Iterator[Tensor]:
    """Yield the tensors of ``--data``, one in memory at a time.

    Args:
        data: ``normal``, ``laplace``, ``student-t``, ``student-t:NU``, ``FILE`` or ``FILE:NAME``.
        samples: how many values are drawn from a distribution.
        seed: of the drawn values.

    Raises:
        FpsimError: none of these; a file that cannot be read or has no such tensor, or none of floating point.
    """
    if match := _FILE.fullmatch(data):
        yield from _from_file(Path(match[1]), match[2], match[3])
        return
    kind, colon, parameter = data.partition(":")
    if kind not in _DISTRIBUTIONS or (colon and kind != "student-t"):
        near = get_close_matches(kind, _DISTRIBUTIONS, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise FpsimError(f"--data {data!r} is no data. {hint}There are {_KINDS}.")
    yield Tensor(name=data, values=_drawn(kind, _freedom(parameter) if colon else 5.0, samples, seed))


def about(data: str) -> str:
    """Return in words what the data are."""
    kind, _, parameter = data.partition(":")
    if kind == "student-t":
        return f"Student's t, nu = {parameter or 5}, unit variance"
    return {"normal": "normal, unit variance", "laplace": "Laplace, unit variance"}.get(data, data)


def is_drawn(data: str) -> bool:
    """Whether the data come from a distribution."""
    return _FILE.fullmatch(data) is None


def _freedom(text: str) -> float:
    try:
        nu = float(text)
    except ValueError:
        nu = math.nan
    if not 2 < nu < math.inf:
        raise FpsimError(f"--data student-t:{text}: NU is a number above 2, below which there is no variance; try 5")
    return nu


def _drawn(kind: str, nu: float, samples: int, seed: int) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    if kind == "normal":
        return generator.standard_normal(samples)
    if kind == "laplace":
        return generator.laplace(scale=math.sqrt(0.5), size=samples)
    return generator.standard_t(nu, samples) * math.sqrt((nu - 2) / nu)


def _from_file(path: Path, suffix: str, wanted: str | None) -> Iterator[Tensor]:
    reader = {"npy": _npy, "npz": _npz, "safetensors": _safetensors}[suffix]
    found = 0
    for tensor in reader(path, wanted):
        found += 1
        yield tensor
    if not found:
        raise FpsimError(f"{path} holds no floating-point tensor with values; nothing can be compared on it")


def _npy(path: Path, wanted: str | None) -> Iterator[Tensor]:
    if wanted is not None:
        raise FpsimError(f"{path} holds one array without a name; drop ':{wanted}'")
    array = _load(path)
    if not isinstance(array, np.ndarray):
        raise FpsimError(f"{path} is an archive of arrays, not one; name it .npz")
    if not _is_float(array):
        raise FpsimError(f"{path} holds {array.dtype.name}; convert it to float16, float32 or float64")
    yield from [Tensor(name=path.name, values=array)] if array.size else []


def _npz(path: Path, wanted: str | None) -> Iterator[Tensor]:
    archive = _load(path)
    if isinstance(archive, np.ndarray):
        raise FpsimError(f"{path} is a single array, not an archive; name it .npy")
    with archive:
        for name in _named(archive.files, wanted, path):
            with _reading(path):
                array = archive[name]
            if wanted is not None and not _is_float(array):
                raise FpsimError(f"{path}: {name!r} holds {array.dtype.name}; name a tensor of floating point")
            if _is_float(array) and array.size:
                yield Tensor(name=name, values=array)


def _load(path: Path) -> Any:
    check_name(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise FpsimError(f"{path} cannot be read: it is no regular file")  # a pipe would block
    with _reading(path), np.errstate(over="raise"):  # of the size that a header promises
        # Mapped, so that a header that promises more than the file holds is refused before there is memory for it.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        return np.array(found) if isinstance(found, np.ndarray) else found


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever NumPy says of a damaged file into one error, and keep its warnings off stderr."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # headers are Python text: SyntaxError, TokenError, KeyError, MemoryError ...
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise FpsimError(f"{path} cannot be read: {reason or type(error).__name__}") from None


def _safetensors(path: Path, wanted: str | None) -> Iterator[Tensor]:
    from fpsim.quant.packed_dtypes import FLOATS, working
    from fpsim.quant.packed_stream import Reader

    with Reader(path) as reader:
        for name in _named(list(reader.header.entries), wanted, path):
            entry = reader.header.entries[name]
            if wanted is not None and entry.dtype not in FLOATS:
                raise FpsimError(f"{path}: {name!r} holds {entry.dtype}; name a tensor of {', '.join(FLOATS)}")
            if entry.dtype in FLOATS and entry.count:
                yield Tensor(name=name, values=working(reader.read(entry), entry.dtype, entry.shape))


def _named(names: list[str], wanted: str | None, path: Path) -> list[str]:
    if wanted is None:
        return names
    if wanted not in names:
        near = get_close_matches(wanted, names, 1)
        hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(names[:8]) or 'none'}."
        raise FpsimError(f"{path} has no tensor {wanted!r}. {hint}")
    return [wanted]


def _is_float(array: NDArray[Any]) -> bool:
    return array.dtype.kind == "f" and array.dtype.itemsize <= 8
