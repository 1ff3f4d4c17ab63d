"""Operands as integers: every number of a type as the specification decodes it, and every other one refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.tensorcore import reference
from fpsim.tensorcore.operands import ZERO_EXPONENT, element_format, split

TYPES = ("fp16", "bf16", "tf32", "e4m3", "e5m2", "e3m2", "e2m3", "e2m1")
types = pytest.mark.parametrize("name", TYPES)


def every_number(fmt: FloatFormat) -> NDArray[np.float32]:
    """All finite numbers of a format; of wide ones some hundred thousand."""
    step = 1 if fmt.bits <= 16 else 7
    code = np.arange(0, fmt.max_code + 1, step)
    field, mantissa = code >> fmt.mantissa_bits, code & ((1 << fmt.mantissa_bits) - 1)
    exponent = np.maximum(field, 1) - int(fmt.bias) - fmt.mantissa_bits
    values = np.ldexp((mantissa + ((field > 0) << fmt.mantissa_bits)).astype(float), exponent)
    return np.concatenate([values, -values]).astype(np.float32)


@types
def test_numbers_are_significand_times_power(name: str) -> None:
    fmt = element_format(name)
    values = every_number(fmt)
    found = split(values, name, "a")
    assert found.special is None
    assert found.fraction_bits == fmt.mantissa_bits
    zero = found.significand == 0
    assert np.array_equal(zero, values == 0)
    assert (found.exponent[zero] == ZERO_EXPONENT).all()
    power = np.where(zero, 0, found.exponent - fmt.mantissa_bits)
    assert np.array_equal(np.ldexp(found.significand.astype(float), power), values.astype(float))
    for i in range(0, len(values), 1 + len(values) // 1000):
        term = reference.decode(float(values[i]), fmt)
        assert found.significand[i] == term.significand
        assert term.significand == 0 or found.exponent[i] == term.exponent


@types
def test_what_is_not_finite_is_marked(name: str) -> None:
    fmt = element_format(name)
    strange = ([math.nan] if fmt.nan_code is not None else []) + ([math.inf] if fmt.inf_code is not None else [])
    for value in strange:
        found = split(np.float32([1, value, -value, -1, 0]), name, "a")
        kind = [2, 2] if math.isnan(value) else [1, -1]
        assert found.special is not None
        assert found.special.tolist() == [0, *kind, 0, 0]
        assert found.significand.tolist() == [1 << fmt.mantissa_bits, 0, 0, -1 << fmt.mantissa_bits, 0]
        assert found.exponent.tolist() == [0, ZERO_EXPONENT, ZERO_EXPONENT, 0, ZERO_EXPONENT]
    for value in {math.nan, math.inf, -math.inf} - {*strange, *[-x for x in strange]}:
        if not (math.isnan(value) and fmt.nan_code is not None):
            with pytest.raises(FpsimError, match=rf"a\[1\] is {value}, which {name} does not hold"):
                split(np.float32([1, value]), name, "a")


@types
def test_neighbours_are_refused(name: str) -> None:
    """One unit in float32's last place away from each number: refused, unless float32 has no other number there."""
    fmt = element_format(name)
    values = every_number(fmt)
    values = values[:: 1 + len(values) // 300]
    values = np.append(values, np.float32([float(fmt.max), -float(fmt.max)]))
    for side in (-np.inf, np.inf):
        for odd in np.nextafter(values, np.float32(side)):
            with pytest.raises(FpsimError, match=r"a\[3\] is .*, which .* does not hold; quantize to"):
                split(np.float32([0, 1, -1, odd, 1]), name, "a")


@types
def test_powers_of_two_below_the_least_number_are_refused(name: str) -> None:
    least = math.frexp(float(element_format(name).min_subnormal or 0))[1] - 1
    assert split(np.float32([2.0**least]), name, "a").significand.tolist() == [1]
    for power in range(-149, least):
        with pytest.raises(FpsimError, match=r"a\[0\] is .*, which .* does not hold"):
            split(np.float32([2.0**power]), name, "a")


def test_matrices_of_any_layout() -> None:
    values = np.arange(-6, 6, dtype=np.float32).reshape(3, 4)
    found = split(values.T, "e4m3", "a")
    assert np.array_equal(np.ldexp(found.significand * 1.0, np.where(values.T == 0, 0, found.exponent - 3)), values.T)
    with pytest.raises(FpsimError, match=r"a\[1, 2\] is 0\.3, which e4m3"):
        split(np.where(np.arange(12).reshape(3, 4).T == 9, np.float32(0.3), values.T), "e4m3", "a")
    assert split(np.zeros((0, 4)), "e4m3", "a").significand.shape == (0, 4)
