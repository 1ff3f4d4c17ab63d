"""Whether a peer returns what fpsim returns, and what sets them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fpsim
from peers.case import DECODE, ENCODE, EVEN, Case
from peers.with_fpsim import policies


@dataclass(frozen=True, slots=True)
class Top:
    """The largest value that a call leaves as it is, and what becomes of twice that."""

    value: float
    over: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlike:
    """How many results differ, by why: signs of zero, ties, values beyond the peer's largest, and the rest."""

    zeros: int = 0
    ties: int = 0
    beyond: int = 0
    other: int = 0

    @property
    def total(self) -> int:
        return self.zeros + self.ties + self.beyond + self.other

    def __str__(self) -> str:
        names = {"zero's sign": self.zeros, "ties": self.ties, "beyond its max": self.beyond, "other": self.other}
        parts = ", ".join(f"{count} {name}" for name, count in names.items() if count)
        return f"{self.total} ({parts})" if self.total else "0"


def unlike(ours: np.ndarray, theirs: np.ndarray, x: np.ndarray, top: float | None = None) -> Unlike:
    """Compare bit by bit.

    Args:
        ours: float32 values or codes, ``[n]``.
        theirs: the peer's, of the same type.
        x: what was rounded, ``[n]``.
        top: the peer's largest value.

    Raises:
        ValueError: another type or size.
    """
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        raise ValueError(f"{theirs.dtype} {theirs.shape} came back instead of {ours.dtype} {ours.shape}")
    if ours.dtype != np.float32:
        return Unlike(other=int(np.count_nonzero(ours != theirs)))
    where = np.flatnonzero(ours.view(np.uint32) != theirs.view(np.uint32))
    a, b, v = (values[where].astype(np.float64) for values in (ours, theirs, x))
    zeros = (a == 0) & (b == 0)
    with np.errstate(invalid="ignore"):
        beyond = ~zeros & (~np.isfinite(b) | (np.abs(a) > (np.inf if top is None else top)))
        ties = ~zeros & ~beyond & (np.abs(v - a) == np.abs(v - b))
    counts = [int(np.count_nonzero(found)) for found in (zeros, ties, beyond)]
    return Unlike(zeros=counts[0], ties=counts[1], beyond=counts[2], other=len(where) - sum(counts))


def reference(case: Case, x: np.ndarray) -> np.ndarray:
    """What fpsim's default call returns; for fpsim's own rows, its NumPy twin, as values."""
    own = case.peer.startswith("fpsim")
    if own or case.kind == DECODE:
        return np.asarray(fpsim.quantize(x, case.fmt, backend="numpy" if own else None, **policies(case.rounding)))
    if case.kind == ENCODE:
        return fpsim.encode(x, case.fmt).codes
    return np.asarray(fpsim.quantize(x, case.fmt))


def largest(case: Case, size: int, place: Callable[[np.ndarray], Any]) -> Top | None:
    """The top of a call's range, from what it returns; None for blocks, codes and the other modes.

    Args:
        case: whose call.
        size: elements of the array, as where it is timed.
        place: makes an array what the case takes.
    """
    if case.kind in (ENCODE, DECODE) or case.fmt in ("mxfp4", "nvfp4") or case.rounding != EVEN:
        return None
    powers = np.exp2(np.arange(-2, 18, dtype=np.float32))
    sweep = (powers[:, None] * (1 + np.arange(32, dtype=np.float32) / 32)).reshape(-1)
    x = np.zeros(size, np.float32)
    x[: sweep.size] = sweep
    y = case.read(case.make(place(x))())[: sweep.size]
    value = float(sweep[y == sweep].max(initial=0))
    doubled = y[sweep == 2 * value]
    return Top(value, float(doubled[0]) if doubled.size else None)
