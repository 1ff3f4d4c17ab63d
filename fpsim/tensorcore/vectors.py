"""Golden vectors of one instruction of a matrix unit: directed cases, random ones, and the specification's results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.number.counter import word
from fpsim.number.exact import BINARY16, BINARY32, encode
from fpsim.number.exact import decode as value_of
from fpsim.tensorcore import reference
from fpsim.tensorcore.architecture import Unit, find_unit, types_of
from fpsim.tensorcore.directed import directed
from fpsim.tensorcore.drafts import Case, Draft
from fpsim.tensorcore.operands import element_format
from fpsim.tensorcore.scale_types import scale_format


@dataclass(frozen=True, slots=True, kw_only=True)
class DotRequest:
    """Which vectors.

    Args:
        arch: the architecture's id.
        dtype: operand type, or those of a and b: ``e4m3,e5m2``.
        instruction: the instruction's id, or None for the architecture's default.
        accumulator: ``fp32`` or ``fp16``.
        count: random vectors after the directed ones.
        seed: of the random ones.
    """

    arch: str
    dtype: str
    instruction: str | None = None
    accumulator: str = "fp32"
    count: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if "int32" in self.unit.accumulators:
            raise FpsimError(f"{self.dtype} sums are exact and have no dot vectors; take a floating-point type")

    @property
    def unit(self) -> Unit:
        """The matrix unit."""
        return find_unit(self.arch, self.dtype, self.instruction, self.accumulator)

    @property
    def types(self) -> tuple[str, str]:
        """Names of the types of a and b."""
        return types_of(self.dtype)

    @property
    def result(self) -> FloatFormat:
        """The accumulator's format."""
        return BINARY16 if self.accumulator == "fp16" else BINARY32


@dataclass(frozen=True, slots=True, kw_only=True)
class DotVector:
    """One instruction: its inputs, their class, and the result."""

    case: Case
    result: float


def dot_vectors(request: DotRequest) -> Iterator[DotVector]:
    """Yield the vectors of a request: directed ones first, then random ones; the same for the same request."""
    for case in directed(request.unit, request.types, request.accumulator):
        yield DotVector(case=case, result=result_of(request, case))
    for i in range(request.count):
        case = _random(request, i)
        yield DotVector(case=case, result=result_of(request, case))


def result_of(request: DotRequest, case: Case) -> float:
    """Return what the specification makes of a case."""
    scales = {"scale_a": case.scale_a, "scale_b": case.scale_b}
    return reference.dot(request.unit, request.types, case.a, case.b, case.c, accumulator=request.accumulator, **scales)


def code_of(fmt: FloatFormat, value: float) -> int:
    """Return the bits of a number of a format; NaN is the positive quiet one."""
    if math.isnan(value):
        assert fmt.nan_code is not None
        return fmt.nan_code
    if math.isinf(value):
        assert fmt.inf_code is not None
        return fmt.inf_code | (fmt.sign_bit if value < 0 else 0)
    if value == 0:
        return fmt.sign_bit if math.copysign(1, value) < 0 else 0
    return encode(fmt, Fraction(value))


class _Draws:
    """Random numbers of one vector, from the counter."""

    def __init__(self, seed: int, index: int) -> None:
        self.seed, self.next = seed, index << 16

    def number(self, fmt: FloatFormat, low: int, high: int) -> float:
        """A finite number of a format with its exponent field in a range."""
        bits = word(self.seed, self.next, 32) << 32 | word(self.seed, self.next + 1, 32)
        self.next += 2
        mantissa = bits >> 1 & (1 << fmt.mantissa_bits) - 1
        field = low + (bits >> 1 + fmt.mantissa_bits) % (high - low + 1)
        code = min(field << fmt.mantissa_bits | mantissa, fmt.max_code)
        return float(value_of(fmt, code | (fmt.sign_bit if bits & 1 else 0)))

    def below(self, end: int) -> int:
        """An integer from 0 to ``end`` − 1."""
        self.next += 1
        return word(self.seed, self.next - 1, 32) % end


def _random(request: DotRequest, index: int) -> Case:
    """Any finite patterns, or (odd ones) exponents within two alignments, with an accumulator of the sum's size."""
    draws = _Draws(request.seed, index)
    near = index % 2 == 1
    blank = Draft(unit=request.unit, types=request.types)
    fmts = [element_format(name) for name in request.types]
    ranges = [_fields(fmt, draws, request.unit.fraction_bits) if near else _whole(fmt) for fmt in fmts]
    a, b = (tuple(draws.number(fmt, *span) for _ in range(blank.k)) for fmt, span in zip(fmts, ranges, strict=True))
    middle = sum(sum(span) // 2 - int(fmt.bias) for fmt, span in zip(fmts, ranges, strict=True))
    low, high = _whole(request.result)
    if near and not blank.scale_a:
        centre = min(max(middle + int(request.result.bias), low), high)
        low, high = max(low, centre - 6), min(high, centre + 6)
    scales = []
    for name, length in zip(request.types, (len(blank.scale_a), len(blank.scale_b)), strict=True):
        fmt = scale_format(name) if length else BINARY32
        half = (fmt.max_code >> fmt.mantissa_bits) // 2
        span = (half - 4, half + 4) if near else (0, 2 * half)
        scales.append(tuple(abs(draws.number(fmt, *span)) for _ in range(length)))
    c = draws.number(request.result, low, high)
    return Case(kind="random", a=a, b=b, c=c, scale_a=scales[0], scale_b=scales[1])


def _whole(fmt: FloatFormat) -> tuple[int, int]:
    """All exponent fields of finite numbers."""
    return 0, fmt.max_code >> fmt.mantissa_bits


def _fields(fmt: FloatFormat, draws: _Draws, fraction_bits: int) -> tuple[int, int]:
    """Some neighbouring exponent fields."""
    low, high = _whole(fmt)
    width = min(high, max(fraction_bits // 2, 3))
    first = draws.below(high - width + 1)
    return low + first, low + first + width
