"""Inspection against sorted lists of decoded codes; flags, ulps, special values."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fpsim
from fpsim.errors import FpsimError
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.conversion import Conversion, Overflow, Rounding
from fpsim.number.exact import decode
from fpsim.number.inspection import Inspection, inspect

NAMES = ("e4m3", "e5m2", "e2m1", "e3m2", "e4m3-fnuz", "e4m3-ieee", "chen-e1m2", "e8m0", "int4", "int8", "int8-full")
NAMES += ("uint4", "nf4", "int8-q6")
UNUSUAL = {
    "no subnormals": fpsim.format("e3m2", subnormals=False),
    "unsigned": FloatFormat(name="ue3m3", exponent_bits=3, mantissa_bits=3, bias=3, signed=False),
    "no mantissa": fpsim.format("e3m0"),
    "ternary": CodebookFormat(name="ternary", values=(-1.5, 0.0, 1.0)),
    "positive": CodebookFormat(name="positive", values=(0.5, 1.0, 4.0)),
}
FORMATS: dict[str, Any] = {**{name: fpsim.format(name) for name in NAMES}, **UNUSUAL}
MODES = [mode for mode in Rounding if mode is not Rounding.STOCHASTIC]
fractions = st.one_of(
    st.fractions(-600, 600),
    st.builds(
        lambda a, b, e: Fraction(a, b) * Fraction(2) ** e, st.integers(-99, 99), st.just(64), st.integers(-12, 10)
    ),
    st.builds(Fraction, st.integers(-40, 40), st.sampled_from([1, 2, 3, 4, 8, 1024])),
)


@lru_cache(maxsize=64)
def finite(name: str) -> tuple[list[Fraction], dict[Fraction, set[int]]]:
    """The values of all codes in order, each once, and the codes of each."""
    fmt = FORMATS[name]
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    codes: dict[Fraction, set[int]] = {}
    for code in range(count):
        value = decode(fmt, code)
        unused = isinstance(fmt, IntFormat) and Fraction(value) < fmt.lo * fmt.unit
        if math.isfinite(value) and not unused:
            codes.setdefault(Fraction(value), set()).add(code)
    return sorted(codes), codes


@pytest.mark.parametrize("name", FORMATS)
@given(x=fractions)
@settings(deadline=None, max_examples=60)
def test_neighbours_are_those_of_the_sorted_codes(name: str, x: Fraction) -> None:
    values, codes = finite(name)
    found = inspect(FORMATS[name], x)
    below, above = bisect_left(values, x) - 1, bisect_right(values, x)
    for neighbour, place in ((found.below, below), (found.above, above)):
        if not 0 <= place < len(values):
            assert neighbour is None
            continue
        assert neighbour is not None
        assert Fraction(neighbour.value) == values[place]
        assert neighbour.code in codes[values[place]]
    assert found.code in codes[Fraction(found.value)]
    assert found.exact == (x in codes)
    nearest = min(abs(value - x) for value in values)
    assert abs(Fraction(found.value) - x) == nearest
    assert found.error == Fraction(found.value) - x
    assert found.relative == (None if x == 0 else found.error / x)
    if 0 <= below and above < len(values) and x not in codes:
        assert found.tie == (x - values[below] == values[above] - x)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FORMATS)
@given(x=fractions)
@settings(deadline=None, max_examples=25)
def test_each_mode_takes_the_right_neighbour(name: str, mode: Rounding, x: Fraction) -> None:
    values, codes = finite(name)
    fmt = FORMATS[name]
    found = inspect(fmt, x, Conversion(rounding=mode))
    value = Fraction(found.value)
    if not values[0] <= x <= values[-1]:
        assert value == (values[0] if x < values[0] else values[-1])
        return
    if x in codes:
        assert value == x
        assert not found.overflow
        return
    low, high = values[bisect_left(values, x) - 1], values[bisect_right(values, x)]
    if mode is Rounding.TOWARD_POSITIVE:
        assert value == high
    elif mode is Rounding.TOWARD_NEGATIVE:
        assert value == low
    elif mode is Rounding.TOWARD_ZERO and not isinstance(fmt, CodebookFormat):
        assert value == (low if x > 0 else high)
    elif mode is Rounding.TO_ODD and abs(found.code) % 2 == 0:
        assert found.below is not None
        assert found.above is not None
        assert found.below.code % 2 == found.above.code % 2 == 0
    assert not found.overflow
    assert value in (low, high)


def flags(found: Inspection) -> set[str]:
    names = ("exact", "overflow", "underflow", "tie")
    return {name for name in names if getattr(found, name)} | {found.kind}


@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("e4m3", "0.3", {"normal"}),
        ("e4m3", "1/512", {"exact", "subnormal"}),
        ("e4m3", "3/1024", {"tie", "subnormal"}),
        ("e4m3", "1/1024", {"tie", "underflow", "zero"}),
        ("e4m3", "-1/4096", {"underflow", "zero"}),
        ("e4m3", "463", {"normal"}),
        ("e4m3", "464", {"tie", "normal"}),
        ("e4m3", "465", {"overflow", "normal"}),
        ("e5m2", "-61440", {"tie", "overflow", "normal"}),
        ("e2m1", "7", {"tie", "overflow", "normal"}),
        ("e2m1", "5", {"tie", "normal"}),
        ("int8", "127.4", {"normal"}),
        ("int8", "127.5", {"tie", "overflow", "normal"}),
        ("int8-full", "-128", {"exact", "normal"}),
        ("uint4", "-0.4", {"underflow", "zero"}),
        ("uint4", "-0.6", {"overflow", "zero"}),
        ("nf4", "1.001", {"overflow", "normal"}),
        ("e8m0", "-1", {"overflow", "normal"}),
        ("e8m0", "0", {"normal"}),
    ],
)
def test_flags(name: str, x: str, expected: set[str]) -> None:
    assert flags(inspect(fpsim.format(name), Fraction(x))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "overflows"),
    [("toward-zero", 480), ("toward-negative", 480), ("toward-positive", 449), ("ties-to-away", 464), ("to-odd", 449)],
)
def test_overflow_begins_where_the_mode_leaves_the_range(mode: str, overflows: int) -> None:
    """448 has an even code, so to-odd goes on to 480; rounding down stays until 480 itself."""
    fmt, how = fpsim.format("e4m3"), Conversion(rounding=Rounding(mode))
    assert isinstance(fmt, FloatFormat)
    assert inspect(fmt, Fraction(overflows), how).overflow
    assert not inspect(fmt, Fraction(overflows) - 1, how).overflow


@pytest.mark.parametrize("name", ["e4m3", "e5m2", "e3m2", "int8", "e4m3-fnuz"])
def test_the_ulp_is_the_gap_above_the_magnitude(name: str) -> None:
    values, _ = finite(name)
    fmt: ElementFormat = FORMATS[name]
    positive = [value for value in values if value >= 0]
    for low, high in pairwise(positive):
        for x in (low, (3 * low + high) / 4, -(low + high) / 2):
            assert inspect(fmt, x).ulp == high - low
    last = positive[-1]
    assert inspect(fmt, last * 5).ulp == inspect(fmt, last).ulp == inspect(fmt, math.inf).ulp
    assert inspect(fmt, last * 5).error_ulps == -4 * last / inspect(fmt, last).ulp  # type: ignore[operator]


def test_special_values() -> None:
    e5m2, e4m3, special = FORMATS["e5m2"], FORMATS["e4m3"], Conversion(overflow=Overflow.SPECIAL)
    found = inspect(e5m2, -math.inf, special)
    assert (found.code, found.value, found.exact, found.overflow, found.error) == (0xFC, -math.inf, True, False, None)
    assert found.below is None
    assert found.above is not None
    assert found.above.value == -57344
    found = inspect(e4m3, math.inf, special)
    assert (found.code, found.kind, found.exact, found.overflow) == (0x7F, "nan", False, True)
    found = inspect(e4m3, Fraction(10) ** 9, special)
    assert (found.kind, found.overflow, found.error) == ("nan", True, None)
    found = inspect(e4m3, math.nan)
    assert (found.code, found.kind, found.exact, found.ulp, found.below) == (0x7F, "nan", True, None, None)
    minus = inspect(e4m3, -0.0)
    assert (minus.code, minus.exact, math.copysign(1, minus.value)) == (0x80, True, -1)
    assert inspect(FORMATS["e4m3-fnuz"], -0.0).code == 0


def test_zero_takes_the_sign_of_the_number_beside_it() -> None:
    e2m1 = FORMATS["e2m1"]
    up, down = inspect(e2m1, Fraction(1, 3)), inspect(e2m1, Fraction(-1, 3))
    assert up.below is not None
    assert down.above is not None
    assert (up.below.code, down.above.code) == (0, 8)
    assert math.copysign(1, down.above.value) == -1


def test_stochastic_rounding_is_refused() -> None:
    with pytest.raises(FpsimError, match="no single result"):
        inspect(FORMATS["e4m3"], Fraction(1, 3), Conversion(rounding=Rounding.STOCHASTIC))
