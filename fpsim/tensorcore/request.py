"""What a caller gives, checked and as a job of the engine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.tensorcore import scales
from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.engine import Job
from fpsim.tensorcore.operands import Operand, as_float32, refuse, split
from fpsim.tensorcore.scale_types import block_of

Types = tuple[str, str]


def matrices(a: Any, b: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two matrices [M, K] and [K, N].

    Raises:
        FpsimError: they are no matrices or do not fit.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise FpsimError(f"a has shape {a.shape} and b {b.shape}; give [M, K] and [K, N]")
    return a, b


def vectors(a: Any, b: Any, unit: Unit) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return pairs of vectors, [N, K] both.

    Raises:
        FpsimError: they are no such pairs, or of a K that the instruction does not take.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or a.shape != b.shape:
        raise FpsimError(f"a has shape {a.shape} and b {b.shape}; give two of one shape [N, K]")
    if a.shape[1] == 0 or a.shape[1] % unit.step:
        raise FpsimError(f"K is {a.shape[1]}; {takes(unit)}")
    return a, b


def start(c: Any, shape: tuple[int, ...], unit: Unit, accumulator: str) -> NDArray[Any]:
    """Return the accumulator's start: zeros, or c as float32 (int32 for integers).

    Raises:
        FpsimError: c has another shape or holds a number that the accumulator does not.
    """
    whole = "int32" in unit.accumulators
    if c is None:
        return np.zeros(shape, np.int32 if whole else np.float32)
    c = np.asarray(c)
    if c.shape != shape:
        raise FpsimError(f"c has shape {c.shape}; the result has {shape}")
    if whole:
        return _int32(c)
    values = as_float32(c, "c")
    if accumulator == "fp16":
        with np.errstate(over="ignore"):
            half = values.astype(np.float16).astype(np.float32)
        wrong = (half != values) & ~np.isnan(values)
        if wrong.any():
            refuse(values, wrong, "c", "fp16")
    return values


def _int32(c: NDArray[Any]) -> NDArray[np.int32]:
    with np.errstate(invalid="ignore"):
        whole = c.astype(np.int64) if c.dtype.kind in "fiu" else np.zeros(c.shape, np.int64)
    wrong = (whole != c) | (np.abs(whole + (whole < 0)) >= 1 << 31)
    if wrong.any():
        refuse(c, wrong, "c", "int32")
    return whole.astype(np.int32)


def padded(
    a: NDArray[Any], b: NDArray[Any], scale_a: Any, scale_b: Any, unit: Unit, types: Types, pad: bool
) -> tuple[NDArray[Any], NDArray[Any], Any, Any]:
    """Return the operands with K filled up, if that is asked, and the scales with ones.

    Raises:
        FpsimError: K is no multiple of the instruction's, and padding is not asked.
    """
    k = a.shape[1]
    if k and k % unit.step == 0:
        return a, b, scale_a, scale_b
    if not pad or k == 0:
        raise FpsimError(f"K is {k}; {takes(unit)}{'' if k == 0 else '; pad=True fills K with zeros'}")
    more = -k % unit.step
    a, b = np.pad(a, ((0, 0), (0, more))), np.pad(b, ((0, more), (0, 0)))
    if unit.scaling == "none" or scale_a is None or scale_b is None:
        return a, b, scale_a, scale_b
    sa, sb = np.asarray(scale_a), np.asarray(scale_b)
    if sa.ndim != 2 or sb.ndim != 2:
        return a, b, scale_a, scale_b
    blanks = [a.shape[1] // block_of(name) for name in types]
    filled_a = np.pad(sa, ((0, 0), (0, max(blanks[0] - sa.shape[1], 0))), constant_values=1)
    filled_b = np.pad(sb, ((0, max(blanks[1] - sb.shape[0], 0)), (0, 0)), constant_values=1)
    return a, b, filled_a, filled_b


def takes(unit: Unit) -> str:
    """Say which K an instruction takes."""
    shapes = " or ".join(str(k) for k in unit.k)
    return f"{unit.instruction} on {unit.arch} takes a K of {shapes} of {unit.inputs[0]}, so multiples of {unit.step}"


def check_steps(unit: Unit, k: int, promote_every: int | None, split_k: int) -> None:
    """Refuse a promotion or a split that cuts an instruction.

    Raises:
        FpsimError: the number is no positive integer, or cuts one.
    """
    if promote_every is not None and (not isinstance(promote_every, int) or promote_every < 1):
        raise FpsimError(f"promote_every is {promote_every!r}; give a multiple of {unit.step}, such as 128")
    if promote_every is not None and promote_every % unit.step:
        raise FpsimError(f"promote_every is {promote_every}; {takes(unit)}: give one of those")
    if not isinstance(split_k, int) or split_k < 1 or k % (split_k * unit.step):
        raise FpsimError(f"split_k is {split_k!r}: K = {k} has no so many equal parts; {takes(unit)}")


def saturation(unit: Unit, k: int, satfinite: bool, promote_every: int | None = None, split_k: int = 1) -> int | None:
    """Return after how many products a sum is limited to int32; None where it wraps, or is no int32.

    Raises:
        FpsimError: sums of a floating-point type, or that other additions cut.
    """
    if not satfinite:
        return None
    if "int32" not in unit.accumulators:
        raise FpsimError(f"satfinite is for int32 sums; those of {unit.inputs[0]} are {unit.accumulators[0]}: drop it")
    if promote_every is not None or split_k != 1:
        raise FpsimError("satfinite limits each instruction's sum; drop promote_every and split_k, which cut the sum")
    return unit.group if unit.group > 1 else max(size for size in unit.k if k % size == 0)


def job(a: Any, b: Any, scale_a: Any, scale_b: Any, unit: Unit, types: Types, paired: bool = False) -> Job:
    """Return the job of operands [M, K] and [K, N], or of pairs of vectors, both [K, N].

    Raises:
        FpsimError: a number that its type does not hold, or scales that are missing, too many or misshapen.
    """
    left, right = split(a, types[0], "a"), split(b, types[1], "b")
    if unit.scaling == "none":
        if scale_a is not None or scale_b is not None:
            raise FpsimError(f"{types[0]} has no block scales; drop scale_a and scale_b, or take an MX type or nvfp4")
        return Job(a=left, b=right, paired=paired)
    axis = 0 if paired else 1
    left, of_left = scales.split(scale_a, left, types[0], "scale_a", axis)
    right, of_right = scales.split(scale_b, right, types[1], "scale_b", 0)
    return Job(a=left, b=right, scale_a=of_left, scale_b=of_right, paired=paired)


def paired_job(a: NDArray[Any], b: NDArray[Any], scale_a: Any, scale_b: Any, unit: Unit, types: Types) -> Job:
    """Return the job of pairs of vectors, [N, K] both as their scales are [N, K / block]; errors as :func:`job`."""
    scale_a, scale_b = (None if x is None else np.asarray(x).T for x in (scale_a, scale_b))
    return job(a.T, b.T, scale_a, scale_b, unit, types, paired=True)


def swapped(given: Job) -> Job:
    """Return the job whose result is the transpose."""

    def turned(x: Operand | None) -> Operand | None:
        return None if x is None else x.transposed

    return replace(
        given,
        a=given.b.transposed,
        b=given.a.transposed,
        scale_a=turned(given.scale_b),
        scale_b=turned(given.scale_a),
    )
