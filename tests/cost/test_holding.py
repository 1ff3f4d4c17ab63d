"""Whether one format's values are another's: compared with a list of the values themselves."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest

from fpsim.cost.holding import holds, holds_but_largest
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, FloatFormat, IntFormat
from fpsim.number.names import format as named
from fpsim.number.ordinals import ladder

TARGETS = ["e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8-full", "uint8", "int4-full", "uint4"]
FORMATS = [
    *("e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "e4m3-ieee", "e4m3-fnuz", "e5m2-fnuz", "e8m0", "nf4", "e1m2", "e2m0"),
    *("chen-e2m5", "chen-e3m4", "chen-e4m3", "chen-e5m2", "chen-e1m2", "chen-e2m1", "e3m0", "e3m3", "e1m1", "e2m2"),
    *("int4", "int4-full", "uint4", "int6", "uint6", "int8", "int8-full", "uint8", "int8-q6", "int2", "uint2"),
]


def single(name: str) -> ElementFormat:
    fmt = named(name)
    assert not isinstance(fmt, BlockFormat)
    return fmt


@cache
def values(fmt: ElementFormat) -> frozenset[Fraction]:
    steps = ladder(fmt)
    return frozenset(steps.value(ordinal) for ordinal in steps.ordinals)


def held_by_listing(target: ElementFormat, fmt: ElementFormat) -> bool:
    wanted, there = values(fmt), values(target)
    magnitudes = {abs(value) for value in there}  # the largest value has to become one of them
    shifts = [shift for shift in range(-160, 160) if fmt.max * Fraction(2) ** shift in magnitudes]
    return any({value * Fraction(2) ** shift for value in wanted} <= there for shift in shifts)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", FORMATS)
def test_holds_is_what_a_list_of_the_values_says(target: str, name: str) -> None:
    hardware = single(target)
    assert isinstance(hardware, FloatFormat | IntFormat)
    assert holds(hardware, single(name)) is held_by_listing(hardware, single(name))


def test_a_real_bias_does_not_matter() -> None:
    hardware = single("e4m3")
    assert isinstance(hardware, FloatFormat)
    assert holds(hardware, named("e4m3", bias=6.37))  # type: ignore[arg-type]


def test_codebooks_are_judged_by_their_values() -> None:
    hardware = single("e2m1")
    assert isinstance(hardware, FloatFormat)
    assert holds(hardware, CodebookFormat(name="c", values=(-6.0, -1.0, 0.0, 0.5, 4.0)))
    assert not holds(hardware, CodebookFormat(name="c", values=(-5.0, 1.0)))
    assert not holds(hardware, CodebookFormat(name="c", values=(0.25, 6.0)))


@pytest.mark.parametrize(
    ("target", "name", "expected"),
    [
        ("e4m3", "chen-e4m3", True),
        ("e4m3", "e4m3-fnuz", True),
        ("e4m3", "e4m3", False),
        ("e4m3", "e3m4", False),
        ("e5m2", "chen-e5m2", False),
        ("e4m3", "int8", False),
    ],
)
def test_only_the_largest_value_is_missing(target: str, name: str, expected: bool) -> None:
    hardware, fmt = single(target), single(name)
    assert isinstance(hardware, FloatFormat)
    assert holds_but_largest(hardware, fmt) is expected
    if expected:
        rest = {value for value in values(fmt) if abs(value) < fmt.max}
        shifted = [{value * Fraction(2) ** shift for value in rest} for shift in range(-4, 5)]
        assert any(scaled <= values(hardware) for scaled in shifted)
