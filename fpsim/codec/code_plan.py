"""Constants by which numbers become codes and codes numbers, derived from a format once.

Each plan names an emitted formulation of :mod:`fpsim.codec.numba.code_emit` and its constants in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np

from fpsim.codec.codes import code_dtype
from fpsim.codec.plan import LinearPlan, MagicPlan, plan
from fpsim.number import ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import NanPolicy
from fpsim.number.exact import WIDTHS


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePlan:
    """A formulation, how it treats signs and NaN (see ``signed`` there), and its constants."""

    kind: str
    signs: str
    constants: tuple[Any, ...]

    @property
    def has_nan(self) -> bool:
        """Whether NaN becomes a code."""
        return self.signs.endswith("-nan")


@lru_cache(maxsize=512)
def encode_plan(fmt: ElementFormat, width: int, nan: NanPolicy = NanPolicy.KEEP) -> CodePlan | None:
    """How numbers are rounded to codes, ties to even, saturating; None where only a search serves.

    Args:
        fmt: the element format.
        width: 32 or 64.
        nan: what NaN becomes in a floating-point format without NaN.
    """
    p, real, integer = plan(fmt, width), *_types(width)
    if isinstance(p, LinearPlan):
        mask = (1 << fmt.bits) - 1
        return CodePlan(kind="linear", signs="none", constants=(real(p.lo), real(p.hi), integer(0), integer(mask)))
    if not isinstance(p, MagicPlan) or not isinstance(fmt, FloatFormat):
        return None
    signs, nan_code = _signs(fmt, nan)
    ends = _ends(fmt, width, nan_code)
    if p.integer:
        constants = (real(p.max), integer(p.parity), *_grid(fmt, width))
        return CodePlan(kind="integer", signs=signs, constants=(*constants, *ends))
    fields, stored = (p.emin_field + p.shift) >> WIDTHS[width].mantissa_bits, code_dtype(fmt.bits)(0).itemsize * 8
    if stored <= p.drop:
        # Rounding keeps the ties: the offset is even, since a magic plan has mantissa bits.
        shift = p.shift + (-(fields << fmt.mantissa_bits) & ((1 << stored) - 1))
        constants = (real(p.max), integer(p.emin_field), integer(shift), integer(p.drop))
        return CodePlan(kind="short", signs=signs, constants=(*constants, *ends))
    base = p.emin_field + p.shift
    constants = (real(p.max), *map(integer, (p.emin_field, p.shift, base, p.drop)))
    return CodePlan(kind="magic", signs=signs, constants=(*constants, *ends))


@lru_cache(maxsize=512)
def grid_plan(fmt: FloatFormat | IntFormat, width: int) -> CodePlan:
    """How numbers on the grid become codes, Inf and NaN included; the width must hold the grid's values exactly."""
    if isinstance(fmt, IntFormat):
        found = encode_plan(fmt, width)
        assert found is not None, "integers have a plan"
        return found
    signs, nan_code = _signs(fmt, NanPolicy.KEEP)
    return CodePlan(kind="grid", signs=signs, constants=(*_grid(fmt, width), *_ends(fmt, width, nan_code)))


@lru_cache(maxsize=512)
def decode_plan(fmt: ElementFormat, width: int) -> CodePlan | None:
    """How codes become grid values; None where only a table serves."""
    p, real, integer = plan(fmt, width), *_types(width)
    if isinstance(fmt, IntFormat):
        return CodePlan(kind="integer", signs="none", constants=(integer((width - fmt.bits) * fmt.signed), real(0)))
    if not isinstance(p, MagicPlan) or not isinstance(fmt, FloatFormat):
        return None
    unit, hidden = float(fmt.min_normal / (1 << fmt.mantissa_bits)) if fmt.subnormals else 0.0, 1 << fmt.mantissa_bits
    nan_code = fmt.sign_bit if fmt.nan_is_negative_zero else -1
    base = p.emin_field - (1 << WIDTHS[width].mantissa_bits)
    if base == 0 and fmt.subnormals:
        unit, hidden = 0.0, 0  # the width's own subnormals: arithmetic with them is slow, their patterns are not
    constants = (
        *map(integer, (fmt.magnitude_mask, hidden, p.drop, base)),
        real(unit),
        *map(integer, (fmt.max_code, -1 if fmt.inf_code is None else fmt.inf_code, _wrapped(nan_code, width))),
        *map(integer, (width - fmt.bits, _wrapped(fmt.sign_bit, width))),
    )
    return CodePlan(kind="float", signs="none", constants=constants)


def _types(width: int) -> tuple[Any, Any]:
    return (np.float32, np.int32) if width == 32 else (np.float64, np.int64)


def _wrapped(pattern: int, width: int) -> int:
    """An unsigned pattern as the signed integer of the same bits."""
    return pattern - (1 << width) if pattern >> (width - 1) == 1 else pattern


def _signs(fmt: FloatFormat, nan: NanPolicy) -> tuple[str, int]:
    """The treatment of signs and NaN, and NaN's code (0 where there is none)."""
    code = fmt.nan_code
    if code is None and nan is not NanPolicy.KEEP:
        negative_zero = fmt.sign_bit if fmt.has_negative_zero else 0
        code = {NanPolicy.ZERO: 0, NanPolicy.NEGATIVE_ZERO: negative_zero, NanPolicy.MAX: fmt.max_code}[nan]
    kind = "zero" if fmt.has_negative_zero else "no-zero"
    return (kind, 0) if code is None else (f"{kind}-nan", code)


def _ends(fmt: FloatFormat, width: int, nan_code: int) -> tuple[Any, ...]:
    patterns = (fmt.sign_bit, (1 << fmt.bits) - 1, nan_code)
    integer = _types(width)[1]
    return (integer(width - fmt.bits), *(integer(_wrapped(p, width)) for p in patterns))


def _grid(fmt: FloatFormat, width: int) -> tuple[Any, ...]:
    """Constants of ``grid`` there."""
    work, (real, integer) = WIDTHS[width], _types(width)
    drop = work.mantissa_bits - fmt.mantissa_bits
    flat = 0 if fmt.subnormals else fmt.mantissa_bits  # without subnormals a unit below min_normal is min_normal
    return (
        integer((fmt.emin + int(work.bias)) << work.mantissa_bits),
        integer(drop),
        integer((1 << fmt.mantissa_bits) if fmt.zero else 0),
        integer(flat),
        real(float(fmt.min_normal)),
        real(float(Fraction(2) ** (fmt.emin + drop + flat))),
        integer(0 if fmt.inf_code is None else fmt.inf_code),
    )
