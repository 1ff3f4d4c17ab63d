"""exact.quantize: ties, saturation, signs of zeros, NaN; idempotent, monotone, nearest."""

from __future__ import annotations

import itertools
import math
import struct
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.exact import BFLOAT16, BINARY16, decode, encode, quantize

FLOATS32 = st.floats(width=32, allow_nan=False)
NEAR = st.floats(min_value=-2000, max_value=2000, width=32)
NAMES = [
    "e4m3",
    "e5m2",
    "e2m1",
    "e4m3-fnuz",
    "chen-e3m4",
    "e8m0",
    "int4",
    "uint3",
    "int5-full",
    "int8-q6",
    "nf4",
    "e4m0",
]
FORMATS: list[ElementFormat] = [
    *(fpsim.format(name) for name in NAMES),
    fpsim.format("e3m2", subnormals=False),
    fpsim.format("e2m1", bias=-1e-30),  # a real bias whose scale is 1/2
]
REAL: list[ElementFormat] = [
    fpsim.format("e2m1", bias=2.7),
    fpsim.format("e4m3", bias=6.37),
    fpsim.format("e3m4", bias=-1.2),
]


def grid(fmt: ElementFormat) -> dict[int, Fraction]:
    """Code to value of the integer-bias grid, the finite codes that rounding may give."""
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    finite = {code: decode(fmt.grid, code) for code in range(count)}
    values = {code: Fraction(value) for code, value in finite.items() if math.isfinite(value)}
    if isinstance(fmt, IntFormat) and fmt.signed and not fmt.full:
        del values[1 << (fmt.bits - 1)]
    return values


GRIDS = {fmt: grid(fmt) for fmt in (*FORMATS, *REAL)}


def nearest(fmt: ElementFormat, t: float) -> set[Fraction]:
    """All grid values at the least distance; where there are two, those with an even code."""
    values = GRIDS[fmt]
    if math.isinf(t):
        return {max(values.values()) if t > 0 else min(values.values())}
    least = min(abs(value - Fraction(t)) for value in values.values())
    closest = {code: value for code, value in values.items() if abs(value - Fraction(t)) == least}
    if len(set(closest.values())) == 1:
        return set(closest.values())
    return {value for code, value in closest.items() if code % 2 == 0}


def single(x: float) -> float:
    """The nearest float32, by the machine."""
    try:
        (rounded,) = struct.unpack("<f", struct.pack("<f", x))
    except OverflowError:
        return math.copysign(math.inf, x)
    return float(rounded)


def bits(x: float) -> tuple[float, float]:
    return x, math.copysign(1, x)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.name)
@settings(deadline=None, max_examples=60)
@given(x=FLOATS32 | NEAR)
def test_rounds_to_the_nearest_value(fmt: ElementFormat, x: float) -> None:
    scale = Fraction(fmt.scale())
    t = x / fmt.scale()  # a power of two: exact but for overflow
    y = quantize(fmt, x)
    assert Fraction(y) / scale in nearest(fmt, t)


@pytest.mark.parametrize("fmt", REAL, ids=lambda fmt: f"{fmt.name}-{fmt.bias}")
@settings(deadline=None, max_examples=60)
@given(x=FLOATS32 | NEAR)
def test_real_bias_is_one_division_and_one_product(fmt: ElementFormat, x: float) -> None:
    """With the machine's arithmetic: a float32 quotient or product from float64 is rounded once in effect."""
    scale = fmt.scale(32)
    candidates = {single(scale * float(g)) for g in nearest(fmt, single(x / scale))}
    assert quantize(fmt, x) in candidates
    wide = fmt.scale(64)
    assert quantize(fmt, x, width=64) in {wide * float(g) for g in nearest(fmt, x / wide)}


@pytest.mark.parametrize("fmt", [*FORMATS, *REAL], ids=lambda fmt: fmt.name)
@settings(deadline=None, max_examples=60)
@given(x=FLOATS32 | NEAR, y=FLOATS32 | NEAR)
def test_idempotent_and_monotone(fmt: ElementFormat, x: float, y: float) -> None:
    low, high = quantize(fmt, min(x, y)), quantize(fmt, max(x, y))
    assert low <= high
    assert bits(quantize(fmt, low)) == bits(low)


@settings(deadline=None, max_examples=60)
@given(x=NEAR, exponent=st.integers(-20, 20))
def test_a_power_of_two_scale_is_a_shift(x: float, exponent: int) -> None:
    fmt, scale = fpsim.format("e4m3"), 2.0**exponent
    assert isinstance(fmt, FloatFormat)
    assert quantize(fmt, x, scale=scale) == quantize(fmt, x / scale) * scale


@pytest.mark.parametrize("name", ["e4m3", "e2m1", "e5m2", "int8", "chen-e1m2", "nf4"])
def test_every_tie_goes_to_the_even_code(name: str) -> None:
    fmt = fpsim.format(name)
    assert isinstance(fmt, FloatFormat | IntFormat | CodebookFormat)
    for below, above in itertools.pairwise(sorted(set(grid(fmt).values()))):
        chosen = encode(fmt, (below + above) / 2)
        assert chosen % 2 == 0
        assert decode(fmt, chosen) in (below, above)


def test_without_subnormals_a_tie_at_the_smallest_normal_goes_to_zero() -> None:
    fmt = replace(fpsim.format("e3m2"), subnormals=False)
    least = float(fmt.min_normal)
    assert quantize(fmt, least / 2) == 0
    assert quantize(fmt, math.nextafter(least / 2, 1), width=64) == least
    assert bits(quantize(fmt, -least / 2)) == (0, -1)


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("e4m3", 464.0, 448.0),
        ("e4m3", 1e30, 448.0),
        ("e4m3", math.inf, 448.0),
        ("e4m3", -math.inf, -448.0),
        ("e5m2", math.inf, 57344.0),
        ("e5m2", 61440.0, 57344.0),
        ("int8", -1000.0, -127.0),
        ("int8-full", -1000.0, -128.0),
        ("uint8", -3.0, 0.0),
        ("uint8", 300.0, 255.0),
        ("nf4", -5.0, -1.0),
        ("e8m0", 0.0, 2.0**-127),
        ("e8m0", -4.0, 2.0**-127),
        ("e8m0", math.inf, 2.0**127),
        ("e8m0", 3.0, 2.0),  # a tie: 2 has code 0x80, 4 has 0x81
        ("e8m0", 6.0, 8.0),
    ],
)
def test_saturation(name: str, x: float, expected: float) -> None:
    assert quantize(fpsim.format(name), x) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "x", "sign"),
    [
        ("e4m3", -0.0, -1),
        ("e4m3", -1e-9, -1),
        ("e4m3", 1e-9, 1),
        ("e2m1", -0.25, -1),
        ("e4m3-fnuz", -0.0, 1),
        ("e4m3-fnuz", -1e-9, 1),
        ("int8", -0.0, 1),
        ("int8", -0.3, 1),
        ("uint8", -0.0, 1),
        ("nf4", -0.0, 1),
    ],
)
def test_zeros_and_their_signs(name: str, x: float, sign: int) -> None:
    assert bits(quantize(fpsim.format(name), x)) == (0.0, sign)  # type: ignore[arg-type]


@pytest.mark.parametrize("fmt", [*FORMATS, *REAL], ids=lambda fmt: fmt.name)
def test_nan_stays_nan(fmt: ElementFormat) -> None:
    assert math.isnan(quantize(fmt, math.nan))


def test_a_result_that_the_output_width_cannot_hold_saturates() -> None:
    wide = fpsim.format("e8m7")
    assert isinstance(wide, FloatFormat)
    assert quantize(wide, 1e38, out=BINARY16) == 65504
    assert quantize(wide, -1e38, out=BINARY16) == -65504
    assert quantize(wide, 257.0, out=BFLOAT16) == 256
    assert quantize(wide, math.inf, width=32) == float(Fraction(2) ** 128 - Fraction(2) ** 104)
