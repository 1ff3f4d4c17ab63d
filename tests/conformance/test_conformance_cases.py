"""The cases hold what implementations go wrong at, under the right names."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import fpsim
from fpsim.conformance.cases import Effort, cases, directed, directed_bits
from fpsim.conformance.classify import CLASSES, classify
from fpsim.conformance.grid import grid
from fpsim.conformance.inputs import INPUTS, WIDE, bits_of, numbers_of, stepped


def named(x: float, name: str, dtype: type = np.float64) -> str:
    return CLASSES[classify(np.array([x], dtype), fpsim.format(name))[0]]


@pytest.mark.parametrize(
    ("x", "name", "kind"),
    [
        (np.nan, "e4m3", "nan"),
        (-np.inf, "e4m3", "inf"),
        (-0.0, "e4m3", "signed zero"),
        (448.0, "e4m3", "normal"),
        (449.0, "e4m3", "overflow"),
        (464.0, "e4m3", "overflow"),
        (1.0625, "e4m3", "tie"),
        (np.nextafter(1.0625, 2), "e4m3", "tie"),
        (1.0625 + 2**-40, "e4m3", "double rounding"),
        (1.0625 + 2**-20, "e4m3", "double rounding"),
        (1.0625 + 2**-7, "e4m3", "normal"),
        (2.0**-9, "e4m3", "subnormal"),
        (1.5, "int8", "tie"),
        (-1.0, "uint8", "overflow"),
    ],
)
def test_a_number_has_its_class(x: float, name: str, kind: str) -> None:
    assert named(x, name) == kind


def test_a_scale_moves_the_classes() -> None:
    x = np.array([[1.0625], [1.0625]])
    assert [CLASSES[i] for i in classify(x, fpsim.format("e4m3"), np.array([[1.0], [0.001]])).ravel()] == [
        "tie",
        "overflow",
    ]


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("name", ["e4m3", "e2m1", "e5m2-fnuz", "int6", "nf4"])
def test_directed_cases_hold_every_value_and_every_tie_with_its_neighbours(name: str, width: int) -> None:
    fmt, real = fpsim.format(name), WIDE[width].real
    x = directed(fmt, WIDE[width])
    for points in (grid(fmt).points.numbers, grid(fmt).middles.numbers):
        near = points.astype(real)
        for toward in (-np.inf, np.inf):
            assert np.isin(near, x).all()
            assert np.isin(np.nextafter(near, real(toward)), x).all()
    bits = directed_bits(fmt, WIDE[width])
    assert len(np.unique(bits)) == len(bits)


def test_directed_cases_have_the_double_roundings_of_the_known_deviations() -> None:
    x = directed(fpsim.format("e4m3"), INPUTS["f64"])
    assert 1.0625 * (1 + 2**-40) in x
    assert 464 * (1 + 2**-40) in x


@pytest.mark.parametrize("effort", [Effort.QUICK, Effort.NORMAL])
def test_all_classes_occur(effort: Effort) -> None:
    found = Counter(cases(fpsim.format("e5m2"), 64, effort, 0).classes.tolist())
    assert set(found) == set(range(len(CLASSES)))
    assert found.total() > (150_000 if effort is Effort.NORMAL else 3_000)


def test_the_same_seed_gives_the_same_cases() -> None:
    fmt = fpsim.format("e2m1")
    first, again, other = (cases(fmt, 32, Effort.QUICK, seed).x for seed in (1, 1, 2))
    assert np.array_equal(first, again, equal_nan=True)
    assert not np.array_equal(first, other, equal_nan=True)


@pytest.mark.parametrize("kind", INPUTS.values(), ids=lambda kind: kind.name)
def test_bits_and_numbers_of_a_type(kind) -> None:
    numbers = np.array([0.0, -0.0, 1.0, -1.5, 2.0**-14, np.inf, -np.inf])
    bits = bits_of(kind, numbers)
    back = numbers_of(kind, bits).astype(np.float64)
    assert np.array_equal(back, numbers)
    assert np.array_equal(np.signbit(back), np.signbit(numbers))
    above = numbers_of(kind, stepped(kind, bits, 1))
    assert above[2] == 1 + 2.0**-kind.format.mantissa_bits
    assert np.isinf(above[5])
