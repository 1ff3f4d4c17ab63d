"""``matmul``: whole matrices through a matrix unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore import integers, request
from fpsim.tensorcore.architecture import InputTypes, Unit, find_unit, types_of
from fpsim.tensorcore.engine import Float32, Job, multiply, plus

#: Fewer columns than this would leave lanes empty; the rows then take their place.
_NARROW = 64


def matmul(
    a: Any,
    b: Any,
    c: Any = None,
    *,
    arch: str,
    dtype: InputTypes,
    instruction: str | None = None,
    promote_every: int | None = None,
    split_k: int = 1,
    accumulator: str = "fp32",
    scale_a: Any = None,
    scale_b: Any = None,
    pad: bool = False,
    exponent_floor: int | None = None,
    group: int | None = None,
    satfinite: bool = False,
) -> NDArray[np.float32] | NDArray[np.int32]:
    """Return a·b + c as a GPU's matrix unit computes it, instruction after instruction in ascending k.

    A result differs from the exact one by less than what its fused sums lose: a sum of G products and the
    accumulator whose largest exponent is E loses less than (G + 1)·2^(E − F) by truncating its terms to F fraction
    bits, and its result d less than 2^(e − R) by truncating to R fraction bits, e being its exponent. Of pairs of
    vectors, :func:`fpsim.tensorcore.error_bound` returns the whole.

    Args:
        a: [M, K], numbers that the type of a holds.
        b: [K, N], numbers that the type of b holds.
        c: [M, N], the accumulator's start, numbers that the accumulator's type holds; zeros by default.
        arch: ``volta turing ampere ada hopper blackwell-sm100 blackwell-sm120``.
        dtype: type of the operands, such as ``e4m3``, or those of a and b, such as ``e4m3,e5m2`` or
            ``uint8,int8``.
        instruction: ``mma``, ``wgmma``, ``tcgen05`` …; by default the architecture's first for the type.
        promote_every: after so many of K the matrix unit's accumulator is added to a float32 one, which starts at
            c, by an IEEE addition, ties to even, and starts again at zero; a multiple of the instruction's K.
        split_k: K in so many equal parts, the first one starting at c, the others at zero; the results of the
            parts are added in float32, ties to even, in ascending order.
        accumulator: ``fp32`` or ``fp16``; int8 and uint8 have int32, which wraps.
        scale_a: block scales of a, [M, K / block], for MX types and ``nvfp4``.
        scale_b: block scales of b, [K / block, N].
        pad: fill K with zeros up to the next multiple of the instruction's K. Products that are 0 have no
            exponent, so they change neither the alignment, whose floor holds with and without them, nor the sum.
        exponent_floor: another least exponent of the alignment, see :func:`fpsim.tensorcore.find_unit`.
        group: another group size, see there.
        satfinite: int32 sums stop at the type's ends instead of wrapping: PTX's ``.satfinite``, once after each
            instruction of the largest K that divides K; ``group`` limits the sum after so many products instead (PTX
            does not say whether parts of an instruction are limited).

    Returns:
        [M, N], float32 (fp16 accumulators too); int32 for integers.

    Raises:
        FpsimError: a number that its type does not hold (the first one is named), or a type, an instruction, a
            shape or a K that the architecture does not take.

    Source: Khattak and Mikaitis, Accurate Models of NVIDIA Tensor Cores, arXiv 2512.07004; MMA-Sim; of integers PTX
        ISA, ``mma`` and ``wgmma.mma_async``, integer operations.

    >>> import numpy as np
    >>> ones = np.ones((1, 32), np.float32)
    >>> matmul(ones, ones.T, [[2.0**14]], arch="hopper", dtype="e4m3"), 2**14 + 32
    (array([[16384.]], dtype=float32), 16416)
    """
    types = types_of(dtype)
    unit = find_unit(arch, types, instruction, accumulator, exponent_floor=exponent_floor, group=group)
    a, b = request.matrices(a, b)
    start = request.start(c, (a.shape[0], b.shape[1]), unit, accumulator)
    a, b, scale_a, scale_b = request.padded(a, b, scale_a, scale_b, unit, types, pad)
    step = request.saturation(unit, k := a.shape[1], satfinite, promote_every, split_k)
    if "int32" in unit.accumulators:
        return integers.matmul(a, b, start, types, step)
    request.check_steps(unit, k, promote_every, split_k)
    job = request.job(a, b, scale_a, scale_b, unit, types)
    if swapped := start.shape[1] < _NARROW and start.shape[0] > start.shape[1]:
        job, start = request.swapped(job), np.ascontiguousarray(start.T)
    total = _split(unit, accumulator, job, start, promote_every, k // split_k)
    return np.ascontiguousarray(total.T) if swapped else total


def _split(unit: Unit, accumulator: str, job: Job, start: Float32, every: int | None, length: int) -> Float32:
    """Parts of K one by one, their results added."""
    parts = [job.part(begin, begin + length) for begin in range(0, job.k, length)]
    starts = [start, *([np.zeros_like(start)] * (len(parts) - 1))]
    results = iter([_promoted(unit, accumulator, part, at, every) for part, at in zip(parts, starts, strict=True)])
    return _added(next(results), results)


def _promoted(unit: Unit, accumulator: str, job: Job, start: Float32, every: int | None) -> Float32:
    """One part of K: the accumulator, emptied every so often."""
    if every is None:
        return multiply(unit, accumulator, job, start)
    zero = np.zeros_like(start)
    parts = (job.part(begin, min(begin + every, job.k)) for begin in range(0, job.k, every))
    return _added(start, (multiply(unit, accumulator, part, zero) for part in parts))


def _added(first: Float32, others: Any) -> Float32:
    for other in others:
        first = plus(first, other)
    return first
