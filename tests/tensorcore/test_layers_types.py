"""Which operand type holds a format's grid: against every single value of both."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

from fpsim import format
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.tensorcore.containment import shift_into, type_bits
from fpsim.tensorcore.operands import element_format

TYPES = ("fp16", "e4m3", "e5m2", "e3m2", "e2m3", "e2m1")
FORMATS = (
    *("e4m3", "e5m2", "e3m4", "e2m5", "e2m1", "e1m2", "e2m3", "e3m2", "e1m1", "chen-e4m3", "chen-e2m1", "chen-e1m2"),
    *("e4m3-fnuz", "e5m2-fnuz", "e4m3-ieee", "int4", "int8", "int8-full", "uint4", "uint8", "nf4", "e5m5"),
)


@cache
def grid(fmt: ElementFormat) -> frozenset[Fraction]:
    """Magnitudes of all grid values."""
    if isinstance(fmt, CodebookFormat):
        return frozenset(abs(Fraction(value)) for value in fmt.values)
    if isinstance(fmt, IntFormat):
        least = fmt.lo if fmt.signed else -fmt.hi  # with a zero point
        return frozenset(abs(Fraction(value)) for value in range(least, fmt.hi + 1))
    return frozenset(fmt.grid.grid_value(code) for code in range(fmt.max_code + 1))


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_a_shift_is_found_exactly_where_one_exists(fmt: str, name: str) -> None:
    ours, target = grid(format(fmt)), grid(element_format(name))
    found = shift_into(format(fmt), name)
    fitting = [k for k in range(-12, 13) if all(value * Fraction(2) ** k in target for value in ours)]
    if isinstance(format(fmt), CodebookFormat):
        fitting = [k for k in fitting if k == 0]
    assert found == (min(fitting, key=abs) if fitting else None)


@pytest.mark.parametrize(("fmt", "fits"), [("int8", True), ("int4", True), ("int8-full", True), ("uint4", True),
                                           ("uint8", False), ("e4m3", False), ("int9", False)])  # fmt: skip
def test_int8_holds_integers_of_8_bits(fmt: str, fits: bool) -> None:
    assert shift_into(format(fmt), "int8") == (0 if fits else None)


@pytest.mark.parametrize(("fmt", "fits"), [("uint8", True), ("uint2", True), ("uint9", False), ("int4", False),
                                           ("e2m1", False), ("nf4", False)])  # fmt: skip
def test_uint8_holds_the_codes_of_unsigned_integers(fmt: str, fits: bool) -> None:
    assert shift_into(format(fmt), "uint8") == (0 if fits else None)


@pytest.mark.parametrize("bias", [-3, 0.5, 9.37, 40])
def test_a_bias_decides_nothing(bias: float) -> None:
    fmt = format("e2m1", bias=bias)
    shift = shift_into(fmt, "e4m3")
    assert isinstance(fmt, FloatFormat)
    assert shift is not None
    assert {value * Fraction(2) ** shift for value in grid(fmt)} <= grid(element_format("e4m3"))


def test_widths() -> None:
    assert [type_bits(name) for name in ("fp16", "tf32", "e4m3", "e2m3", "nvfp4", "uint8")] == [16, 19, 8, 6, 4, 8]
