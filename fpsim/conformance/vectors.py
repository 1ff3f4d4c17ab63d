"""Golden vectors: inputs and the results that the specification on fractions gives, for RTL and kernels.

No table and no array rounds here: every result is one call of :mod:`fpsim.number.exact`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np

from fpsim.conformance.cases import directed_bits
from fpsim.conformance.classify import CLASSES, classify
from fpsim.conformance.grid import MOST_BITS
from fpsim.conformance.inputs import Bits, InputType, bits_of, numbers_of
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy
from fpsim.number.counter import word
from fpsim.number.exact import WIDTHS, check, decode, divide, encode, quantize, to_width


class Op(StrEnum):
    """What a vector shows."""

    #: Value to rounded value.
    QUANTIZE = "quantize"
    #: Value to code.
    ENCODE = "encode"
    #: Code to value.
    DECODE = "decode"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which vectors.

    Args:
        format: an element format of at most 16 bits.
        op: what they show.
        how: rounding mode, policies; vector i takes the counter's word i.
        kind: the type of the values.
        count: random inputs after the directed ones.
        seed: of the random inputs.
    """

    format: ElementFormat
    op: Op
    how: Conversion = DEFAULT
    kind: InputType
    count: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check(self.format, self.how)
        if self.op is Op.DECODE and self.how != DEFAULT:
            raise FpsimError(f"decoding rounds nothing, so '{self.how}' says nothing; drop the policies")
        if self.format.bits > MOST_BITS:
            raise FpsimError(f"{self.format.name} has {self.format.bits} bits; vectors go up to {MOST_BITS}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One line: the input's bits and value, the code, the output's bits and value; what does not exist is None.

    ``word`` is the random number of stochastic rounding.
    """

    kind: str
    input: int | None
    value: float | None
    code: int | None
    output: int | None
    result: float | None
    word: int | None = None


def vectors(request: Request) -> Iterator[Vector]:
    """Yield the vectors of a request: directed ones first, then the random ones; the same for the same request."""
    if request.op is Op.DECODE:
        yield from _decoded(request)
        return
    patterns = inputs(request)
    numbers = numbers_of(request.kind, patterns)
    kinds = classify(numbers, request.format)
    index = 0
    for pattern, x, kind in zip(patterns.tolist(), numbers.tolist(), kinds.tolist(), strict=True):
        if request.op is Op.ENCODE and math.isnan(x) and not _nan_has_code(request):
            continue
        yield _rounded(request, CLASSES[kind], pattern, x, index)
        index += 1


def inputs(request: Request) -> Bits:
    """Return the bit patterns of the inputs."""
    directed = directed_bits(request.format, request.kind)
    return np.concatenate([directed, np.array(_random(request), np.uint64)])


def _random(request: Request) -> list[int]:
    """Bit patterns from the counter: even draws take any finite pattern, odd ones a binade of the format's range."""
    own, found = request.kind.format, []
    low, high = _binades(request)
    for i in range(request.count):
        draw = word(request.seed, 2 * i, 32) << 32 | word(request.seed, 2 * i + 1, 32)
        sign = own.sign_bit * (draw & 1)
        mantissa = draw >> 1 & (1 << own.mantissa_bits) - 1
        field = (draw >> 1 + own.mantissa_bits) % (1 << own.exponent_bits)
        span = (0, (1 << own.exponent_bits) - 1) if i % 2 == 0 else (low, high + 1)
        field = span[0] + field % (span[1] - span[0])
        found.append(sign | field << own.mantissa_bits | mantissa)
    return found


def _binades(request: Request) -> tuple[int, int]:
    """Exponent fields of the type, from just below the format's smallest value to just above its largest."""
    own, fmt = request.kind.format, request.format
    top = decode(fmt, encode(fmt.grid, math.inf), width=request.kind.width)
    least = (fmt.grid.min_subnormal or fmt.grid.min_normal) if isinstance(fmt, FloatFormat) else Fraction(1, 4)
    fields = [math.frexp(float(value))[1] - 1 + int(own.bias) + by for value, by in ((least, -2), (top, 1))]
    low, high = (min(max(field, 0), (1 << own.exponent_bits) - 2) for field in fields)
    return low, max(low, high)


def _rounded(request: Request, kind: str, pattern: int, x: float, index: int) -> Vector:
    fmt, how, width = request.format, request.how, request.kind.width
    drawn = 0 if how.deterministic else word(how.seed, index, how.random_bits)
    code = None
    if not math.isnan(x) or _nan_has_code(request):
        t = quotient(x, fmt.scale(width), width)
        code = encode(fmt.grid, t, how, word=drawn)
    out = None if request.kind.bits == width else request.kind.format
    result = quantize(fmt, x, width=width, out=out, how=how, word=drawn)
    return Vector(
        kind=kind,
        input=pattern,
        value=x,
        code=code,
        output=pattern_of(request.kind, result),
        result=result,
        word=None if how.deterministic else drawn,
    )


def quotient(x: float, scale: float, width: int) -> float:
    """Return the IEEE quotient of a number and a scale."""
    exact = scale == 1 or x == 0 or not math.isfinite(x)
    return x if exact else divide(WIDTHS[width], Fraction(x), Fraction(scale))


def _nan_has_code(request: Request) -> bool:
    own = isinstance(request.format, FloatFormat) and request.format.nan_code is not None
    return own or request.how.nan is not NanPolicy.KEEP


def pattern_of(kind: InputType, value: float) -> int:
    """Return the bits of a number of a type; NaN is the positive quiet one."""
    nan = kind.format.nan_code
    return nan if math.isnan(value) and nan is not None else int(bits_of(kind, [value])[0])


def _decoded(request: Request) -> Iterator[Vector]:
    fmt, kind = request.format, request.kind
    for code in range(len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits):
        exact = decode(fmt, code, width=kind.width)
        value = exact if isinstance(exact, float) and exact != 0 else _fitting(kind, exact)
        yield Vector(
            kind=_value_class(fmt, code, exact),
            input=None,
            value=None,
            code=code,
            output=pattern_of(kind, value),
            result=value,
        )


def _fitting(kind: InputType, exact: Fraction | float) -> float:
    """A value as the working width and then the type have it."""
    wide = to_width(WIDTHS[kind.width], exact)
    return to_width(kind.format, wide)


def _value_class(fmt: ElementFormat, code: int, exact: Fraction | float) -> str:
    """What kind of number a code stands for."""
    if isinstance(exact, float) and not math.isfinite(exact):
        return "nan" if math.isnan(exact) else "inf"
    if exact == 0:
        return "signed zero"
    below = isinstance(fmt, FloatFormat) and fmt.zero and code & fmt.magnitude_mask < 1 << fmt.mantissa_bits
    return "subnormal" if below else "normal"
