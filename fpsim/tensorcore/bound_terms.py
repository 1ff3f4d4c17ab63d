"""The terms of fused sums as an error bound needs them: magnitudes and the exponents that alignment sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fpsim.tensorcore.architecture import Unit
from fpsim.tensorcore.engine import Job
from fpsim.tensorcore.operands import Operand
from fpsim.tensorcore.reference_scaled import CHUNK

#: Exponent of a term that is 0: below every other one.
NOTHING = -30000


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Terms of pairs of vectors in the order of their sums.

    Args:
        size: magnitudes [terms, N].
        exponent: exponents [terms, N], `NOTHING` of 0.
        finite: whether all operands of a pair are finite, [N].
        group: terms of one fused sum.
        step: terms of one instruction.
    """

    size: NDArray[np.float64]
    exponent: NDArray[np.int32]
    finite: NDArray[np.bool_]
    group: int
    step: int


def terms_of(job: Job, unit: Unit) -> Terms:
    """Return the terms of a paired job: its products, or the scaled sums of 16 of them.

    Args:
        job: pairs of vectors in the order of the unit's groups.
        unit: the matrix unit.
    """
    a, b = job.a, job.b
    exponent = a.exponent + b.exponent
    product = np.abs(a.significand * b.significand).astype(np.float64)
    size = np.ldexp(product, exponent - a.fraction_bits - b.fraction_bits)
    shared = 1
    if job.scale_a is not None and job.scale_b is not None:
        shared = CHUNK if unit.scaling == "chunks" else 1
        size, exponent = _scaled(size, exponent, job.scale_a, job.scale_b, shared)
    finite = np.ones(size.shape[1], np.bool_)
    for x in (a, b):
        finite &= True if x.special is None else ~x.special.any(axis=0)
    lowered = np.where(size > 0, exponent, NOTHING).astype(np.int32)
    return Terms(size=size, exponent=lowered, finite=finite, group=unit.group // shared, step=unit.step // shared)


def _scaled(
    size: NDArray[np.float64], exponent: NDArray[np.int32], scale_a: Operand, scale_b: Operand, shared: int
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Products times their scales; with ``shared`` of them in a term, whose exponent is the scales' alone."""
    if shared > 1:
        size = size.reshape(-1, shared, size.shape[1]).sum(axis=1)
        exponent = np.zeros(size.shape, np.int32)
    for scale in (scale_a, scale_b):
        each = len(size) // len(scale.significand)
        power, significand = (np.repeat(x, each, axis=0) for x in (scale.exponent, scale.significand))
        size = np.ldexp(size * significand, power - scale.fraction_bits)
        exponent = exponent + power
    return size, exponent
