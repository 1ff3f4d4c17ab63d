"""Infinities and NaN: kernels see finite operands only; what is not finite decides an output by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.operands import Operand

if TYPE_CHECKING:
    from fpsim.tensorcore.engine import Job

Float32 = NDArray[np.float32]
#: The NaN that matrix units return, in fp32; the fp16 one, 0x7FFF, has the same value.
NAN = np.int32(0x7FFFFFFF).view(np.float32)


def canonical(x: Float32) -> Float32:
    """Give every NaN the pattern 0x7FFFFFFF, in place."""
    nan = np.isnan(x)
    if nan.any():
        x[nan] = NAN
    return x


def guarded(job: Job, unit: Unit, out: Float32, kernel: Callable[[Job, Float32], None]) -> None:
    """Run a kernel; where operands are not finite, group by group, and let those decide the outputs they meet.

    Args:
        job: the operands.
        unit: the matrix unit.
        out: the accumulator, changed in place.
        kernel: adds finite operands to the accumulator.
    """
    if job.a.special is None and job.b.special is None:
        kernel(job, out)
        return
    for begin in range(0, job.k, unit.group):
        part = job.part(begin, begin + unit.group)
        positive, negative, nan = _met(part)
        before = out.copy()
        kernel(part, out)
        hit = positive | negative
        nan |= np.isnan(before) | (positive & negative)
        nan |= (positive & (before == -np.inf)) | (negative & (before == np.inf))
        out[hit] = np.where(positive, np.float32(np.inf), np.float32(-np.inf))[hit]
        out[nan] = NAN


def _met(job: Job) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Where products are +Inf, −Inf and NaN."""

    def contract(x: Float32, y: Float32) -> Float32:
        return np.sum(x * y, axis=0, keepdims=True) if job.paired else x @ y

    nan_a, infinite_a, zero_a, sign_a = _kinds(job.a)
    nan_b, infinite_b, zero_b, sign_b = _kinds(job.b)
    one_a, one_b = np.ones_like(nan_a), np.ones_like(nan_b)
    nan = contract(nan_a, one_b) + contract(one_a, nan_b)
    nan += contract(infinite_a, zero_b) + contract(zero_a, infinite_b)
    count = contract(infinite_a, abs(sign_b)) + contract(abs(sign_a) - infinite_a, infinite_b)
    signed = contract(infinite_a * sign_a, sign_b) + contract(sign_a * (1 - infinite_a), infinite_b * sign_b)
    return count + signed > 0, count - signed > 0, nan > 0


def _kinds(x: Operand) -> tuple[Float32, ...]:
    """NaN, infinite, zero as 0 and 1, and the sign of a number that is neither NaN nor 0."""
    special = np.zeros_like(x.significand, np.int8) if x.special is None else x.special
    infinite, nan = np.abs(special) == 1, special == 2
    zero = (special == 0) & (x.significand == 0)
    sign = np.where(infinite, special, np.where(nan, 0, np.sign(x.significand)))
    return tuple(y.astype(np.float32) for y in (nan, infinite, zero, sign))
