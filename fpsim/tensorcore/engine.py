"""Runs the compiled kernels: packs operands into lanes, chains instructions, adds in IEEE arithmetic between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.numba.threads import run as run_threaded
from fpsim.tensorcore import chunk_kernels, kernels, specials
from fpsim.tensorcore.architecture import FP16_FRACTION_BITS, FP16_LEAST_EXPONENT, FP32_LEAST_EXPONENT, Unit
from fpsim.tensorcore.operands import Operand

Float32 = NDArray[np.float32]
#: Multiplications per output value that the choice of threads counts.
_WORK = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Operands of one product, K along one axis.

    Args:
        a: [M, K], or [K, N] for pairs of vectors.
        b: [K, N].
        scale_a: block scales of a, [M, K / block] or [K / block, N], or None.
        scale_b: block scales of b, [K / block, N], or None.
        paired: pairs of vectors instead of matrices.
    """

    a: Operand
    b: Operand
    scale_a: Operand | None = None
    scale_b: Operand | None = None
    paired: bool = False

    @property
    def k(self) -> int:
        """Terms of one output."""
        return int(self.b.significand.shape[0])

    def part(self, begin: int, end: int) -> Job:
        """Return the part of K from ``begin`` to ``end``, which cut no block."""
        if (begin, end) == (0, self.k):
            return self

        def cut(x: Operand | None, transposed: bool) -> Operand | None:
            if x is None:
                return None
            length = x.significand.shape[0 if transposed else 1]
            place = slice(begin * length // self.k, end * length // self.k)
            return x.at(place if transposed else (slice(None), place))

        parts = {
            "a": cut(self.a, self.paired),
            "b": cut(self.b, True),
            "scale_a": cut(self.scale_a, self.paired),
            "scale_b": cut(self.scale_b, True),
        }
        return replace(self, **parts)  # type: ignore[arg-type]


def multiply(unit: Unit, accumulator: str, job: Job, start: Float32) -> Float32:
    """Return the accumulator after all instructions along K.

    Args:
        unit: the matrix unit.
        accumulator: ``fp32`` or ``fp16``.
        job: the operands.
        start: the accumulator before, [M, N] or [1, N].
    """
    if unit.c == "fused":
        return _fused(unit, accumulator, job, start)
    total = start
    for begin in range(0, job.k, unit.step):
        part = _fused(unit, accumulator, job.part(begin, begin + unit.step), np.zeros_like(start))
        total = plus(total, part, accumulator)
    return total


def plus(x: Float32, y: Float32, accumulator: str = "fp32") -> Float32:
    """Return the IEEE sum, ties to even, with the one NaN that GPUs produce."""
    with np.errstate(all="ignore"):
        total = x + y
        if accumulator == "fp16":  # binary32 has 2·11 + 2 bits, so rounding twice is rounding once
            total = total.astype(np.float16).astype(np.float32)
    return specials.canonical(total)


def _fused(unit: Unit, accumulator: str, job: Job, start: Float32) -> Float32:
    """One chain of groups."""
    out = specials.canonical(np.array(start, np.float32, order="C"))
    job = ordered(unit, job)
    if unit.scaling == "chunks":
        specials.guarded(job, unit, out, lambda part, place: _chunks(unit, part, place))
    else:
        specials.guarded(job, unit, out, lambda part, place: _groups(unit, accumulator, part, place))
    return out


def _groups(unit: Unit, accumulator: str, job: Job, out: Float32) -> None:
    """Groups of aligned products, of finite operands."""
    lane, total = (np.int16, np.int32) if unit.fraction_bits <= 13 and job.scale_a is None else (np.int32, np.int64)
    lift = unit.fraction_bits - job.a.fraction_bits - job.b.fraction_bits
    sides = []
    for x, by in ((job.a, lift), (job.b, 0)):
        significand, exponent = (x.significand << by).astype(lane), x.exponent.astype(lane)
        sides += [np.ascontiguousarray(significand), np.ascontiguousarray(exponent)]
    shape = job.b.significand.shape[1] if job.paired else job.a.significand.shape[0]
    none = np.zeros((0, shape) if job.paired else (shape, 0), np.int32)
    xa = none if job.scale_a is None else np.ascontiguousarray(job.scale_a.exponent)
    xb = np.zeros((0, out.shape[1]), np.int32) if job.scale_b is None else np.ascontiguousarray(job.scale_b.exponent)
    kernel = kernels.fused_dots if job.paired else kernels.fused_matmul
    how = _how(unit, accumulator)
    _launch(kernel, job.k * out.size, *sides, xa, xb, out.view(np.int32), np.empty(0, total), unit.group, how)


def _chunks(unit: Unit, job: Job, out: Float32) -> None:
    """Groups of scaled exact sums, of finite operands."""
    assert job.scale_a is not None
    assert job.scale_b is not None
    sides = [_whole(job.a if job.paired else job.a.transposed), _whole(job.b)]
    for x in (job.scale_a if job.paired else job.scale_a.transposed, job.scale_b):
        sides += [np.ascontiguousarray(x.significand), np.ascontiguousarray(x.exponent)]
    places = sum(x.fraction_bits for x in (job.a, job.b, job.scale_a, job.scale_b))
    kernel = chunk_kernels.chunk_dots if job.paired else chunk_kernels.chunk_matmul
    how = np.append(_how(unit, "fp32"), np.int32(unit.fraction_bits - places))
    _launch(kernel, job.k * out.size, *sides, out.view(np.int32), unit.group, how)


def _whole(x: Operand) -> NDArray[np.int32]:
    """Numbers without negative exponents, in units of the last place."""
    shift = np.maximum(x.exponent, 0)
    return np.ascontiguousarray(np.left_shift(x.significand, shift, out=shift))


def _how(unit: Unit, accumulator: str) -> NDArray[np.int32]:
    """The kernels' numbers: fraction bits, the result's, ties to even, least exponent, floor."""
    half = accumulator == "fp16"
    kept = FP16_FRACTION_BITS if half else unit.result_bits
    lowest = FP16_LEAST_EXPONENT if half else FP32_LEAST_EXPONENT
    return np.array([unit.fraction_bits, kept, half, lowest, unit.exponent_floor], np.int32)


def ordered(unit: Unit, job: Job) -> Job:
    """The job with its terms in the order in which the unit's groups take them."""
    if unit.order == "ascending":
        return job
    index = np.arange(job.k).reshape(-1, unit.step)
    early = index[0] % 4 < 2
    order = np.concatenate([index[:, early], index[:, ~early]], axis=1).ravel()
    a = job.a.at(order if job.paired else (slice(None), order))
    return replace(job, a=a, b=job.b.at(order))


def _launch(kernel: Callable[..., None], work: int, *arguments: Any) -> None:
    """Run a kernel on as many threads as the work deserves."""
    sized = np.broadcast_to(np.float32(0), (work // _WORK,))
    run_threaded(lambda _: kernel(*arguments), sized)
