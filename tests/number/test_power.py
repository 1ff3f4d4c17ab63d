"""Real biases: the scale is the working-width number nearest 2^-fraction."""

from __future__ import annotations

import math
import struct
from decimal import Context, Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fpsim.number import FloatFormat
from fpsim.number.floats import BIAS_LIMIT
from fpsim.number.power import power_of_two

WIDE = Context(prec=100)
BIASES = st.floats(min_value=-BIAS_LIMIT, max_value=BIAS_LIMIT, allow_nan=False)
WIDTHS = pytest.mark.parametrize("width", [32, 64])


def neighbours(value: float, width: int) -> tuple[float, float]:
    if width == 64:
        return math.nextafter(value, 0), math.nextafter(value, 2)
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    below, above = (struct.unpack("<f", struct.pack("<I", bits + step))[0] for step in (-1, 1))
    return below, above


def in_width(value: float, width: int) -> bool:
    return width == 64 or struct.unpack("<f", struct.pack("<f", value))[0] == value


def of_bias(bias: float) -> FloatFormat:
    return FloatFormat(name="f", exponent_bits=2, mantissa_bits=1, bias=bias)


@WIDTHS
@settings(deadline=None)
@given(bias=BIASES)
@example(bias=2.7)
@example(bias=5e-324)
@example(bias=-5e-324)
@example(bias=-1e-9)
@example(bias=6 + 2**-30)
def test_scale_is_correctly_rounded(width: int, bias: float) -> None:
    scale = of_bias(bias).scale(width)
    part = Fraction(bias) - math.floor(bias)
    true = WIDE.power(Decimal(2), -WIDE.divide(Decimal(part.numerator), Decimal(part.denominator)))
    assert in_width(scale, width)
    error = abs(Decimal(scale) - true)
    assert all(error <= abs(Decimal(other) - true) for other in neighbours(scale, width))


@WIDTHS
@settings(deadline=None)
@given(numerator=st.integers(0, 48), denominator=st.integers(1, 48))
def test_rational_exponents_without_any_logarithm(width: int, numerator: int, denominator: int) -> None:
    """2^(-p/q) lies within half an ulp of s exactly when 2^-p lies between the q-th powers of the two midpoints."""
    if numerator > denominator:
        numerator %= denominator
    scale = power_of_two(Fraction(-numerator, denominator), {32: 24, 64: 53}[width])
    low, high = ((Fraction(scale) + Fraction(other)) / 2 for other in neighbours(scale, width))
    assert low**denominator <= Fraction(1, 2**numerator) <= high**denominator


@WIDTHS
@settings(deadline=None)
@given(a=BIASES, b=BIASES)
def test_scale_stays_in_its_domain_and_falls_with_the_fraction(width: int, a: float, b: float) -> None:
    first, second = sorted((a, b), key=lambda bias: Fraction(bias) - math.floor(bias))
    assert 1 >= of_bias(first).scale(width) >= of_bias(second).scale(width) >= 0.5


@WIDTHS
@pytest.mark.parametrize("bias", [-4096, -1, 0, 7, 4096])
def test_integer_biases_have_no_scale(width: int, bias: int) -> None:
    assert of_bias(bias).scale(width) == 1
    assert of_bias(float(bias)) == of_bias(bias)
    assert of_bias(bias).grid is of_bias(bias) or of_bias(bias).grid == of_bias(bias)


def test_ends_of_the_domain_are_exact() -> None:
    for precision in (24, 53):
        assert power_of_two(Fraction(0), precision) == 1
        assert power_of_two(Fraction(-1), precision) == 0.5


def test_a_real_bias_splits_into_floor_and_scale() -> None:
    fmt = of_bias(-2.25)
    assert fmt.grid.bias == -3
    assert fmt.scale(64) == pytest.approx(2**-0.75, rel=2**-53)
