"""The corrected equations 7 and 9 of Chen et al. 2024 in wide arithmetic, and numbers to try them on."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import mpmath
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from fpsim.number import FloatFormat

#: What the design allows a real bias: near a boundary the neighbour, and values in a working width of 24 bits.
NEAR, CLOSE = Fraction(1, 1 << 21), Fraction(1, 1 << 22)
TWINS = st.sampled_from(["numpy", "numba", "torch"])
prove = settings(deadline=None, max_examples=150)


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, int]:
    """Exponent and mantissa bits of an all-finite signed format of at most 8 bits with a normal number."""
    e = draw(st.integers(1, 6))
    return e, draw(st.integers(0, 7 - e))


integers = st.integers(-20, 40)
reals = st.floats(-20, 40).filter(lambda b: b != floor(b))


def all_finite(layout: tuple[int, int], bias: float) -> FloatFormat:
    return FloatFormat(name="f", exponent_bits=layout[0], mantissa_bits=layout[1], bias=bias)


def power(exponent: Fraction) -> Fraction:
    """2^exponent to 120 bits."""
    with mpmath.workprec(120):
        number = mpmath.power(2, mpmath.mpf(exponent.numerator) / exponent.denominator)
        return Fraction(int(mpmath.floor(mpmath.ldexp(number, 220)))) / 2**220


def largest(layout: tuple[int, int], bias: float) -> Fraction:
    """Equation 7: c = (2 − 2^−m) · 2^(2^e − b − 1)."""
    e, m = layout
    return (2 - Fraction(1, 1 << m)) * power(Fraction(2**e - 1) - Fraction(bias))


def element_scale(layout: tuple[int, int], bias: float, clipped: Fraction) -> Fraction:
    """Equation 9 for a clipped value: s_i = 2^(p−b−m) with p = max(1, floor(log2|X'| + b))."""
    grown = abs(clipped) * power(Fraction(bias))
    octave = grown.numerator.bit_length() - grown.denominator.bit_length()
    octave -= grown < Fraction(2) ** octave
    return power(max(1, octave if grown else 1) - Fraction(bias) - layout[1])


def cast(values: list[Fraction]) -> np.ndarray:
    """float32 numbers near the fractions, without −0 and subnormals."""
    with np.errstate(over="ignore", under="ignore"):
        x = np.array([float(v) for v in values], np.float64).astype(np.float32)
    return np.where(np.abs(x) < 1e-37, np.float32(0), x)


@st.composite
def inputs(draw: st.DrawFn, layout: tuple[int, int], bias: float) -> np.ndarray:
    """Numbers of all the format's binades and beyond, and numbers at and beside its rounding boundaries."""
    c, e = largest(layout, bias), layout[0]
    spread = [draw(st.floats(-1, 1)) * 2.0 ** draw(st.integers(-(2**e) - 8, 2)) for _ in range(12)]
    values = [Fraction(v) * c for v in spread]
    for _ in range(12):
        at = draw(st.sampled_from(values[:12]))
        step = element_scale(layout, bias, min(max(at, -c), c))
        halves = floor(at / step * 2) + draw(st.integers(-1, 1))
        values.append(halves * step / 2 * (1 + Fraction(draw(st.integers(-3, 3)), 1 << 23)))
    return cast(values)
