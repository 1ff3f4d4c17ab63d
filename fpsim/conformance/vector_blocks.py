"""Golden vectors of block formats: inputs, the scale's code and the elements' codes, by the standards' rules exactly.

A scale per tensor (NVFP4) is an input of the hardware's block converter; here it is 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from fpsim.conformance.grid import grid
from fpsim.conformance.inputs import InputType, bits_of, numbers_of
from fpsim.conformance.vectors import Op, pattern_of, quotient
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, FloatFormat, IntFormat, ScaleRule
from fpsim.number.conversion import DEFAULT, Conversion, NanPolicy
from fpsim.number.counter import word
from fpsim.number.exact import WIDTHS, check, divide, encode, quantize

#: Largest magnitudes around which scale rules change their minds, as multiples of a power of two.
_TOPS = (1, 1.25, 1.4375, 1.5, 1.75, 1.8125, 1.875, 1.9375, 1.96875, 1.9921875)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRequest:
    """Which block vectors; ``count`` random blocks follow the directed ones."""

    format: BlockFormat
    op: Op
    how: Conversion = DEFAULT
    kind: InputType
    count: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check(self.format.element, self.how)
        if self.op is Op.DECODE or not self.how.deterministic:
            what = "op 'decode'" if self.op is Op.DECODE else "stochastic rounding"
            raise FpsimError(
                f"{self.format.name}: {what} has no block vectors; choose op quantize or encode with a deterministic "
                f"rounding, or vectors of the element format {self.format.element.name}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVector:
    """One block: bits of its inputs, its scale, and for each element the code (None: NaN has none) and output bits."""

    kind: str
    inputs: tuple[int, ...]
    scale_code: int
    scale: float
    codes: tuple[int | None, ...]
    outputs: tuple[int, ...]


def block_vectors(request: BlockRequest) -> Iterator[BlockVector]:
    """Yield the vectors of a request; the same for the same request."""
    for kind, points in [*_directed(request), *_random(request)]:
        patterns = bits_of(request.kind, points)
        numbers = [float(x) for x in numbers_of(request.kind, patterns)]
        if request.op is Op.ENCODE and any(map(math.isnan, numbers)) and not _nan_has_code(request):
            continue
        yield _converted(request, kind, tuple(patterns.tolist()), numbers)


def _nan_has_code(request: BlockRequest) -> bool:
    element = request.format.element
    own = isinstance(element, FloatFormat) and element.nan_code is not None
    return own or request.how.nan is not NanPolicy.KEEP


def _converted(request: BlockRequest, kind: str, patterns: tuple[int, ...], numbers: Sequence[float]) -> BlockVector:
    fmt, how, width = request.format, request.how, request.kind.width
    element, scale = fmt.element, block_scale(fmt, numbers, width)
    each = scale * element.scale(width)  # both are powers of two, or one of them is 1
    out = None if request.kind.bits == width else request.kind.format
    codes: list[int | None] = []
    outputs = []
    for x in numbers:
        coded = not math.isnan(x) or _nan_has_code(request)
        codes.append(encode(element.grid, quotient(x, each, width), how) if coded else None)
        result = quantize(element, x, width=width, scale=scale, out=out, how=how)
        outputs.append(pattern_of(request.kind, result))
    return BlockVector(
        kind=kind,
        inputs=patterns,
        scale_code=encode(fmt.scale, Fraction(scale)),
        scale=scale,
        codes=tuple(codes),
        outputs=tuple(outputs),
    )


def block_scale(fmt: BlockFormat, numbers: Sequence[float], width: int) -> float:
    """Return a block's scale with a tensor scale of 1: NaN does not count, Inf as the largest finite number.

    Source: OCP MX v1.0, section 6.3, for ``floor``; :class:`fpsim.number.ScaleRule` names the others.
    """
    work = WIDTHS[width]
    amax = max((min(Fraction(abs(x)), work.max) if math.isfinite(x) else work.max) for x in _counted(numbers))
    if fmt.rule is not ScaleRule.MAX:
        return float(Fraction(2) ** _exponent(fmt, amax, width))
    ratio = divide(work, amax, fmt.element.max)
    least = float(fmt.scale.min_subnormal or fmt.scale.min_normal)
    return max(quantize(fmt.scale, ratio, width=width), least)


def _counted(numbers: Sequence[float]) -> list[float]:
    return [x for x in numbers if not math.isnan(x)] or [0.0]


def _exponent(fmt: BlockFormat, amax: Fraction, width: int) -> int:
    """A power-of-two rule, within what the scale format and the working width hold."""
    element, work, emax = fmt.element, WIDTHS[width], _floor_log2(fmt.element.max)
    widest = max(element.max, -element.lo * element.unit) if isinstance(element, IntFormat) else element.max
    low, high = max(fmt.scale.emin, work.emin - 1), min(fmt.scale.emax, work.emax - max(0, _floor_log2(widest)))
    if amax == 0:
        return low
    if fmt.rule is ScaleRule.FLOOR:
        exponent = _floor_log2(amax) - emax
    elif fmt.rule is ScaleRule.CEIL:
        exponent = _ceil_log2(amax) - emax
    elif fmt.rule is ScaleRule.EVEN:
        unit = Fraction(2) ** (_floor_log2(amax) - _mantissa_bits(fmt))
        exponent = _floor_log2(math.floor(amax / unit + Fraction(1, 2)) * unit) - emax
    else:
        exponent = _ceil_log2(amax / element.max)
    return min(max(exponent, low), high)


def _floor_log2(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= value else exponent - 1


def _ceil_log2(value: Fraction) -> int:
    return -_floor_log2(1 / value)


def _mantissa_bits(fmt: BlockFormat) -> int:
    if isinstance(fmt.element, CodebookFormat):
        raise FpsimError(f"{fmt.name}: scale rule 'even' needs a mantissa width, which a codebook lacks")
    return fmt.element.mantissa_bits if isinstance(fmt.element, FloatFormat) else fmt.element.hi.bit_length() - 1


def _directed(request: BlockRequest) -> Iterator[tuple[str, list[float]]]:
    """Blocks that try the scale rule, the elements' ties, and numbers that are none."""
    size, type_ = request.format.block, request.kind.format
    table, top = grid(request.format.element), float(request.format.element.max)
    points = [float(x) / top for x in (*table.middles.numbers, *table.points.numbers)]
    ramp = [points[i * len(points) // size] for i in range(size)]
    least, most = float(type_.grid_value(1)), float(type_.max)
    yield "zeros", [0.0, -0.0] * (size // 2) + [0.0] * (size % 2)
    for tops in _TOPS:
        for exponent in (0, -3, 6):
            yield "scale", [tops * 2.0**exponent, *(tops * 2.0**exponent * x for x in ramp[1:])]
    for power in range(-2, 2):
        yield "ties", [top * 2.0**power, *(top * 2.0**power * x for x in ramp[1:])]
    yield "subnormal", [least * (i % 7 - 3) for i in range(size)]
    yield "overflow", [most, -most, *(most / 2**i for i in range(size - 2))]
    yield "inf", [math.inf, -1.0, *ramp[2:]]
    yield "inf", [-math.inf] * size
    yield "nan", [math.nan, 1.0, *ramp[2:]]
    yield "nan", [math.nan] * size


def _random(request: BlockRequest) -> Iterator[tuple[str, list[float]]]:
    """Blocks whose elements spread over eight binades below a random one."""
    size = request.format.block
    for i in range(request.count):
        base = 4 * size * i
        centre = word(request.seed, base, 32) % 24 - 12
        draws = [word(request.seed, base + 1 + j, 32) for j in range(size)]
        signs = [1 - 2 * (draw & 1) for draw in draws]
        scales = [2.0 ** (centre - (draw >> 1 & 7)) for draw in draws]
        sizes = [1 + (draw >> 4 & 0xFFFFFF) * 2.0**-24 for draw in draws]
        yield "random", [a * b * c for a, b, c in zip(signs, scales, sizes, strict=True)]
