"""Values of a format as text and in a working width."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

import fpsim
from fpsim.cli.values import as_float, exact_text, fitting_width, short_text
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.exact import BINARY32, decode, to_width


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        (Fraction(1, 8), "1/8"),
        (Fraction(-3, 2), "-3/2"),
        (Fraction(2) ** -127, "2^-127"),
        (-Fraction(3) * Fraction(2) ** -130, "-3*2^-130"),
        (Fraction(255) * Fraction(2) ** 120, "255*2^120"),
        (Fraction(10**30 + 1, 3), f"{10**30 + 1}/3"),
        (Fraction(0), "0"),
        (-0.0, "-0"),
        (math.inf, "inf"),
        (math.nan, "nan"),
    ],
)
def test_exact_numbers_as_text(exact: Fraction | float, text: str) -> None:
    assert short_text(exact) == text
    if isinstance(exact, Fraction):
        assert Fraction(exact_text(exact)) == exact


@pytest.mark.parametrize("bias", [2.7, 100.3, -80.9, 126.99])
def test_values_are_the_one_float32_product(bias: float) -> None:
    fmt = fpsim.format("e4m3", bias=bias)
    assert isinstance(fmt, FloatFormat)
    assert fitting_width(fmt) == 32
    for code in range(1, 127):
        exact = decode(fmt, code)
        assert as_float(fmt, exact, 32) == to_width(BINARY32, exact)


@pytest.mark.parametrize(
    ("fmt", "width"),
    [
        (fpsim.format("binary32"), 32),
        (fpsim.format("e8m7"), 64),
        (fpsim.format("e8m0"), 32),
        (fpsim.format("e4m3", bias=148), 64),
        (fpsim.format("e4m3", bias=147), 32),
        (fpsim.format("e4m3", bias=1100), None),
        (fpsim.format("e4m3", bias=-1100), None),
        (fpsim.format("nf4"), 64),
    ],
    ids=lambda value: f"{value.name}-{getattr(value, 'bias', '')}" if hasattr(value, "name") else str(value),
)
def test_the_width_is_the_narrowest_that_holds_the_grid(fmt: ElementFormat, width: int | None) -> None:
    assert fitting_width(fmt) == width
