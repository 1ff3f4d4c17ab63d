"""Inspection against ml_dtypes and gfloat, and of real biases against the specification."""

from __future__ import annotations

import math
from fractions import Fraction

import gfloat
import gfloat.formats as gfloat_formats
import numpy as np
import pytest
from library_types import ML_DTYPES

import fpsim
from fpsim.number import FloatFormat
from fpsim.number.capability import capability
from fpsim.number.conversion import Conversion, Rounding
from fpsim.number.exact import BINARY64, decode, quantize
from fpsim.number.inspection import inspect


@pytest.mark.parametrize("name", ML_DTYPES)
def test_codes_are_those_of_ml_dtypes(name: str) -> None:
    fmt = fpsim.format(name)
    assert isinstance(fmt, FloatFormat)
    generator = np.random.default_rng(3)
    spread = np.exp2(generator.uniform(fmt.emin - fmt.mantissa_bits - 2, fmt.emax - 2, 600))
    x = (generator.standard_normal(600) * spread).astype(np.float32)
    x = x[np.abs(x) <= float(fmt.max)]
    codes = x.astype(ML_DTYPES[name]).view(np.uint16 if fmt.bits == 16 else np.uint8)
    assert len(x) > 500
    assert [inspect(fmt, float(value)).code for value in x] == codes.tolist()


GFLOAT_MODES = {
    Rounding.TIES_TO_EVEN: gfloat.RoundMode.TiesToEven,
    Rounding.TIES_TO_AWAY: gfloat.RoundMode.TiesToAway,
    Rounding.TOWARD_ZERO: gfloat.RoundMode.TowardZero,
    Rounding.TOWARD_POSITIVE: gfloat.RoundMode.TowardPositive,
    Rounding.TOWARD_NEGATIVE: gfloat.RoundMode.TowardNegative,
}


@pytest.mark.parametrize("mode", GFLOAT_MODES)
@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e2m1", "e2m3", "e3m2"])
def test_values_are_those_of_gfloat(name: str, mode: Rounding) -> None:
    fmt, theirs = fpsim.format(name), getattr(gfloat_formats, f"format_info_ocp_{name}")
    assert isinstance(fmt, FloatFormat)
    generator = np.random.default_rng(4)
    for x in generator.standard_normal(200) * np.exp2(generator.uniform(fmt.emin - 3, fmt.emax + 1, 200)):
        expected = gfloat.round_float(theirs, float(x), GFLOAT_MODES[mode], True)
        value = inspect(fmt, float(x), Conversion(rounding=mode)).value
        assert float(value) == expected
        assert math.copysign(1, value) == math.copysign(1, expected)


@pytest.mark.parametrize("bias", [2.7, -1.37, 6.37])
@pytest.mark.parametrize("name", ["e2m1", "e4m3", "e3m2"])
def test_a_real_bias_follows_the_specification(name: str, bias: float) -> None:
    fmt = fpsim.format(name, bias=bias)
    assert isinstance(fmt, FloatFormat)
    generator = np.random.default_rng(5)
    for x in generator.standard_normal(200) * np.exp2(generator.uniform(fmt.emin - 3, fmt.emax, 200)):
        found = inspect(fmt, float(x))
        assert float(found.value) == quantize(fmt, float(x), width=64)
        assert Fraction(found.value) / Fraction(fmt.scale(64)) == Fraction(decode(fmt.grid, found.code))
        assert found.ulp is not None
        step = found.ulp / Fraction(fmt.scale(64))
        assert step.numerator.bit_count() == step.denominator.bit_count() == 1


def test_numbers_beyond_float64_are_no_problem() -> None:
    fmt = fpsim.format("e4m3", bias=2.7)
    assert isinstance(fmt, FloatFormat)
    for exponent in (2000, -2000):
        found = inspect(fmt, Fraction(10) ** exponent)
        assert (found.overflow, found.underflow) == (exponent > 0, exponent < 0)


def test_neighbours_in_binary64_are_those_of_nextafter() -> None:
    """Codes of 64 bits are beyond what ``len`` and ``bisect`` take."""
    for x in (0.1, -5e-324, 1e300, -math.pi):
        found = inspect(BINARY64, x)
        assert found.below is not None
        assert found.above is not None
        assert (found.below.value, found.above.value) == (math.nextafter(x, -math.inf), math.nextafter(x, math.inf))
        assert (found.exact, found.ulp) == (True, math.ulp(x))
    assert capability(BINARY64).unit_codes == 0x3FF << 52
