"""What is timed, as values that every adapter returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from typing import Any

import numpy as np

#: fpsim's names of the formats that are compared, in the order of the table.
FORMATS = ("e4m3", "e5m2", "e2m1", "e3m4", "mxfp4", "nvfp4")
#: Exponent and mantissa bits of those without blocks.
BITS = {"e4m3": (4, 3), "e5m2": (5, 2), "e2m1": (2, 1), "e3m4": (3, 4)}

ROUND, ENCODE, DECODE = "value to value", "encode", "decode"
EVEN = "ties-to-even"


@lru_cache(maxsize=8)
def _buffer(tensors: bool, shape: tuple[int, ...], device: str) -> Any:
    if not tensors:
        return np.zeros(shape, np.float32)
    import torch

    return torch.zeros(shape, device=device)


def shared_out(x: Any) -> Any:
    """A ready float32 array like ``x``, the same one for every case: a result is read before the next call."""
    return _buffer(not isinstance(x, np.ndarray), tuple(x.shape), str(getattr(x, "device", "cpu")))


def to_numpy(result: Any) -> np.ndarray:
    """A flat NumPy array of whatever a peer returned, in its own type."""
    if not isinstance(result, np.ndarray):
        result = result.detach().cpu().numpy()
    return result.reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One call of one library.

    Args:
        peer: the library.
        call: what is called, in a few words.
        fmt: fpsim's name of the format.
        make: takes the values (a NumPy array, or a tensor if ``tensors``) and returns the call that is timed.
        kind: value to value, encode or decode; times are compared within a kind.
        out: whether the call writes into ready buffers.
        read: takes what the call returned; returns values (float32) or, for encode, codes.
        tensors: whether ``make`` takes a tensor; such cases run on a device too.
        compiled: by torch.compile, once for every size and number of threads.
        rounding: of fpsim's own rows.
        goal: most times the copy; None where there is no goal.
    """

    peer: str
    call: str
    fmt: str
    make: Callable[[Any], Callable[[], Any]]
    kind: str = ROUND
    out: bool = False
    read: Callable[[Any], np.ndarray] = to_numpy
    tensors: bool = False
    compiled: bool = False
    rounding: str = EVEN
    goal: float | None = None

    @property
    def bytes(self) -> int:
        """Bytes an element that the call has to move: read 4, write 4; codes are one byte each."""
        return 8 if self.kind == ROUND else 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A row for what could not be measured, and why."""

    peer: str
    reason: str
    call: str = ""
    fmt: str = ""
    kind: str = ROUND


def version(package: str) -> str:
    """``name version`` of an installed package."""
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return package


def why(error: BaseException) -> str:
    """An exception in one short line."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:160]
