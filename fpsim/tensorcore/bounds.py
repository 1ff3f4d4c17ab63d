"""How far a matrix unit's sums can be from the exact ones, from the operands' magnitudes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.tensorcore import request
from fpsim.tensorcore.architecture import (
    FP16_FRACTION_BITS,
    FP16_LEAST_EXPONENT,
    FP32_LEAST_EXPONENT,
    InputTypes,
    Unit,
    find_unit,
    types_of,
)
from fpsim.tensorcore.bound_terms import Terms, terms_of
from fpsim.tensorcore.engine import ordered

Bounds = NDArray[np.float64]
#: From these magnitudes on a rounded sum may be infinite.
_OVERFLOW = {"fp32": (2 - 2.0**-24) * 2.0**127, "fp16": 65520.0}
#: What float64 loses in the sums of magnitudes here is less than this part of them.
_SLACK = 1 + 2.0**-45
#: Fraction bits of an IEEE sum of fp32, to which what is added late is rounded.
_FP32_FRACTION_BITS = 23


def error_bound(
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
) -> Bounds:
    """Return what :func:`fpsim.tensorcore.dot` of the same arguments can be away from the exact sum, at most.

    Let a fused sum have the accumulator d and the products p (with FP4 block scales: scaled sums of 16). Then::

        |dot − exact| ≤ Σ over fused sums of  T · 2^(E − F)  +  2^(max(e(S), e_min) − R)

    F: fraction bits to which terms are truncated. T: terms that are not 0, d included. E: the largest of the
    exponent floor, the products' exponents (those of both operands and their scales together, not normalized) and
    d's. S = |c| + Σ|p| up to this sum, no less than |d| as truncation only shrinks; e(S) is its exponent. R: fraction
    bits of the result, plus 1 where it is rounded to nearest (fp16), which also lets S grow by that half place. e_min:
    −126, or −14 for fp16. A unit that adds c late loses half a place of that sum in addition.

    The bound follows from magnitudes only, so it grows with each. Where operands are normal numbers without block
    scales and no exponent lies below the floor, 2^E ≤ S, so that K/G sums of G products lose no more than
    K/G · ((G + 1)·2^−F + 2^−R) · (|c| + Σ|a·b|): of wgmma's FP8, K · 34/32 · 2^−13 of that. The sums themselves do
    not grow with each term, see Mikaitis, Monotonicity of Multi-Term Floating-Point Adders, IEEE TC 2024.

    Args:
        a, b, c, arch, dtype, instruction, accumulator, scale_a, scale_b, exponent_floor, group: as in ``dot``.

    Returns:
        [N], float64; inf where the sum may overflow or an operand is not finite.

    Raises:
        FpsimError: as ``dot``; integer types, whose sums are exact.

    Source: the model of :func:`fpsim.tensorcore.matmul`, term by term.

    >>> import numpy as np
    >>> ones = np.ones((1, 32), np.float32)
    >>> error_bound(ones, ones, [2.0**14], arch="hopper", dtype="e4m3")  # dot is 2^14, 32 too small
    array([68.])
    """
    types = types_of(dtype)
    unit = find_unit(arch, types, instruction, accumulator, exponent_floor=exponent_floor, group=group)
    if "int32" in unit.accumulators:
        raise FpsimError(f"sums of {types[0]} are exact and have no error bound; take a floating-point type")
    a, b = request.vectors(a, b, unit)
    begin = np.abs(request.start(c, (a.shape[0],), unit, accumulator).astype(np.float64))
    job = ordered(unit, request.paired_job(a, b, scale_a, scale_b, unit, types))
    terms = terms_of(job, unit)
    with np.errstate(over="ignore", invalid="ignore"):
        found = (_fused if unit.c == "fused" else _late)(unit, accumulator, terms, begin)
    return np.where(np.isfinite(found) & terms.finite & np.isfinite(begin), found, np.inf)


def _fused(unit: Unit, accumulator: str, terms: Terms, reach: Bounds) -> Bounds:
    """The bound of a chain of fused sums, each one's accumulator the result before."""
    bound = np.zeros_like(reach)
    for begin in range(0, len(terms.size), terms.group):
        part = slice(begin, begin + terms.group)
        lost, reach = _one_sum(unit, accumulator, terms.size[part], terms.exponent[part], reach)
        bound += lost
    return bound * _SLACK


def _late(unit: Unit, accumulator: str, terms: Terms, reach: Bounds) -> Bounds:
    """The bound where an instruction's sums start at 0 and their result is added to the accumulator."""
    bound = np.zeros_like(reach)
    for begin in range(0, len(terms.size), terms.step):
        own = np.zeros_like(reach)
        for at in range(begin, begin + terms.step, terms.group):
            part = slice(at, at + terms.group)
            lost, own = _one_sum(unit, accumulator, terms.size[part], terms.exponent[part], own)
            bound += lost
        lost, reach = _rounded((reach + own) * _SLACK, accumulator, _FP32_FRACTION_BITS, nearest=True)
        bound += lost
    return bound * _SLACK


def _one_sum(
    unit: Unit, accumulator: str, size: Bounds, exponent: NDArray[np.int32], reach: Bounds
) -> tuple[Bounds, Bounds]:
    """What one fused sum loses at most, and the largest magnitude of its result."""
    least = FP16_LEAST_EXPONENT if accumulator == "fp16" else FP32_LEAST_EXPONENT
    of_accumulator = np.where(reach > 0, np.maximum(_exponent(reach), least), unit.exponent_floor)
    top = np.maximum(np.maximum(exponent.max(axis=0), of_accumulator), unit.exponent_floor)
    count = np.count_nonzero(size, axis=0) + (reach > 0)
    aligned = count * np.ldexp(1.0, top - unit.fraction_bits)
    nearest = accumulator == "fp16"
    lost, after = _rounded((reach + size.sum(axis=0)) * _SLACK, accumulator, unit.result_bits, nearest=nearest)
    return aligned + lost, after


def _rounded(reach: Bounds, accumulator: str, kept: int, *, nearest: bool) -> tuple[Bounds, Bounds]:
    """What rounding a sum of at most this magnitude loses, and the largest magnitude after it."""
    half = accumulator == "fp16"
    least, kept = (FP16_LEAST_EXPONENT, FP16_FRACTION_BITS) if half else (FP32_LEAST_EXPONENT, kept)
    place = np.ldexp(1.0, np.maximum(_exponent(reach), least) - kept - nearest)
    lost = np.where(reach >= _OVERFLOW[accumulator], np.inf, np.where(reach > 0, place, 0.0))
    return lost, reach + lost if nearest else reach


def _exponent(size: Bounds) -> NDArray[np.int32]:
    """Exponents of magnitudes; of 0 and of infinities any."""
    return np.frexp(size)[1] - 1
