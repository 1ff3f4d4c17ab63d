"""encode(decode(code)) is the code, for every code of every format of at most 8 bits."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

import fpsim
from fpsim.errors import FpsimError
from fpsim.number import BlockFormat, CodebookFormat, ElementFormat, FloatFormat, IntFormat, Specials
from fpsim.number.catalogue import builtin
from fpsim.number.exact import decode, encode


def small_floats() -> dict[str, FloatFormat]:
    """Each layout of at most 8 bits with each convention, subnormals and sign, where there is room for it."""
    found: dict[str, FloatFormat] = {}
    for e in range(1, 8):
        for m in range(8 - e):
            for number, specials in enumerate(Specials):
                for subnormals in (True, False):
                    for signed in (True, False):
                        bias = (2 ** (e - 1) - 1, -3, 6, 2.7)[(number + e + m) % 4]
                        name = f"e{e}m{m}-{specials}-{'sub' if subnormals else 'nosub'}-{'s' if signed else 'u'}-{bias}"
                        try:
                            found[name] = FloatFormat(
                                name=name,
                                exponent_bits=e,
                                mantissa_bits=m,
                                bias=bias,
                                specials=specials,
                                subnormals=subnormals,
                                signed=signed,
                            )
                        except FpsimError:
                            continue
    return found


CATALOGUE: dict[str, ElementFormat] = {
    name: entry.format
    for name, entry in builtin().items()
    if not isinstance(entry.format, BlockFormat) and entry.format.bits <= 8
}
FAMILIES: dict[str, ElementFormat] = {
    name: fmt
    for bits in range(2, 9)
    for name in (f"int{bits}", f"int{bits}-full", f"uint{bits}")
    if not isinstance(fmt := fpsim.format(name), BlockFormat)
}
FORMATS: dict[str, ElementFormat] = {**small_floats(), **FAMILIES, **CATALOGUE}


def expected(fmt: ElementFormat, code: int) -> int:
    """The code that a code's value has: itself, but for NaN payloads, Inf (saturates) and unused codes."""
    if isinstance(fmt, IntFormat):
        lowest = 1 << (fmt.bits - 1)
        return lowest + 1 if fmt.signed and not fmt.full and code == lowest else code
    if isinstance(fmt, CodebookFormat):
        return code
    value = decode(fmt, code)
    sign = code & fmt.sign_bit
    if math.isnan(value):
        assert fmt.nan_code is not None
        return fmt.nan_code
    if math.isinf(value):
        return fmt.max_code | sign
    return (sign if isinstance(value, float) else 0) if value == 0 else code


@pytest.mark.parametrize("name", FORMATS)
def test_every_code_round_trips(name: str) -> None:
    fmt = FORMATS[name]
    count = len(fmt.values) if isinstance(fmt, CodebookFormat) else 1 << fmt.bits
    back = {code: encode(fmt.grid, decode(fmt.grid, code)) for code in range(count)}
    assert back == {code: expected(fmt, code) for code in range(count)}


@pytest.mark.parametrize("name", [name for name, fmt in FORMATS.items() if isinstance(fmt, FloatFormat)])
def test_values_ascend_with_their_magnitude_codes_and_the_sign_negates(name: str) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    values = [decode(fmt, code) for code in range(fmt.max_code + 1)]
    assert sorted(values) == values
    repeats = (1 << fmt.mantissa_bits) - 1 if fmt.zero and not fmt.subnormals else 0
    assert len(set(values)) == len(values) - repeats
    if fmt.signed:
        negative = [decode(fmt, code | fmt.sign_bit) for code in range(1, fmt.max_code + 1)]
        assert negative == [-value for value in values[1:]]


@pytest.mark.parametrize("name", [name for name, fmt in FORMATS.items() if isinstance(fmt, FloatFormat)])
def test_specials_are_where_their_convention_says(name: str) -> None:
    fmt = FORMATS[name]
    assert isinstance(fmt, FloatFormat)
    kinds = [decode(fmt, code) for code in range(1 << fmt.bits)]
    infinite = sum(math.isinf(value) for value in kinds)
    nan = sum(math.isnan(value) for value in kinds)
    signs = 1 + fmt.signed
    assert (infinite, nan) == {
        Specials.IEEE: (signs, signs * ((1 << fmt.mantissa_bits) - 1)),
        Specials.FN: (0, signs),
        Specials.FNUZ: (0, 1),
        Specials.NONE: (0, 0),
        Specials.P3109: (signs, 1),
    }[fmt.specials]
    minus_zero = fmt.signed and fmt.specials not in (Specials.FNUZ, Specials.P3109) and fmt.zero
    found = any(isinstance(value, float) and value == 0 for value in kinds)
    assert found == minus_zero == fmt.has_negative_zero


def test_a_real_bias_multiplies_by_the_float32_scale() -> None:
    fmt = fpsim.format("e2m1", bias=2.7)
    assert isinstance(fmt, FloatFormat)
    scale = Fraction(fmt.scale(32))
    for code in range(1, 8):
        assert decode(fmt, code) == scale * Fraction(decode(fmt.grid, code))
        assert decode(fmt, code, width=64) == Fraction(fmt.scale(64)) * Fraction(decode(fmt.grid, code))


def test_nan_without_a_nan_code_is_an_error() -> None:
    for name in ("e2m1", "int8", "nf4", "chen-e4m3"):
        with pytest.raises(FpsimError, match=f"{name} has no NaN code"):
            encode(fpsim.format(name), math.nan)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [-1, 16, 255])
def test_codes_outside_the_format_do_not_exist(code: int) -> None:
    with pytest.raises(FpsimError, match="does not exist in e2m1"):
        decode(fpsim.format("e2m1"), code)  # type: ignore[arg-type]
