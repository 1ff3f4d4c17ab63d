"""``dot``: pairs of vectors through a matrix unit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore import integers, request
from fpsim.tensorcore.architecture import InputTypes, find_unit, types_of
from fpsim.tensorcore.engine import multiply


def dot(
    a: Any,
    b: Any,
    c: Any = None,
    *,
    arch: str,
    dtype: InputTypes,
    instruction: str | None = None,
    accumulator: str = "fp32",
    scale_a: Any = None,
    scale_b: Any = None,
    exponent_floor: int | None = None,
    group: int | None = None,
    satfinite: bool = False,
) -> NDArray[np.float32] | NDArray[np.int32]:
    """Return the sums of a·b along K, plus c, as a GPU's matrix unit computes them.

    Args:
        a: [N, K], numbers that the type of a holds; K is a multiple of the instruction's.
        b: [N, K], numbers that the type of b holds.
        c: [N], the accumulator's start; zeros by default.
        arch: ``volta turing ampere ada hopper blackwell-sm100 blackwell-sm120``.
        dtype: type of the operands, such as ``e4m3``, or those of a and b, such as ``e4m3,e5m2`` or
            ``uint8,int8``.
        instruction: ``mma``, ``wgmma``, ``tcgen05`` …; by default the architecture's first for the type.
        accumulator: ``fp32`` or ``fp16``; int8 and uint8 have int32, which wraps.
        scale_a: block scales of a, [N, K / block], for MX types and ``nvfp4``.
        scale_b: block scales of b, [N, K / block].
        exponent_floor: another least exponent of the alignment, see :func:`fpsim.tensorcore.find_unit`.
        group: another group size, see there.
        satfinite: int32 sums stop at the type's ends instead of wrapping, see :func:`fpsim.tensorcore.matmul`.

    Returns:
        [N], float32 (fp16 accumulators too); int32 for integers.

    Raises:
        FpsimError: a number that its type does not hold (the first one is named), or a type, an instruction or a K
            that the architecture does not take.

    Source: see :func:`fpsim.tensorcore.matmul`; :func:`fpsim.tensorcore.error_bound` bounds the error.

    >>> import numpy as np
    >>> ones = np.ones((1, 32), np.float32)
    >>> dot(ones, ones, [2.0**14], arch="ada", dtype="e4m3"), 2**14 + 32
    (array([16384.], dtype=float32), 16416)
    """
    types = types_of(dtype)
    unit = find_unit(arch, types, instruction, accumulator, exponent_floor=exponent_floor, group=group)
    a, b = request.vectors(a, b, unit)
    begin = request.start(c, (a.shape[0],), unit, accumulator)
    step = request.saturation(unit, a.shape[1], satfinite)
    if "int32" in unit.accumulators:
        return integers.dot(a, b, begin, types, step)
    job = request.paired_job(a, b, scale_a, scale_b, unit, types)
    result: NDArray[np.float32] = multiply(unit, accumulator, job, begin[np.newaxis])[0]
    return result
