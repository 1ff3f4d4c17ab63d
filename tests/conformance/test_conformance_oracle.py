"""The oracle for arrays says what the specification says of each number."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from codec_cases import NARROW, WIDE, ids

import fpsim
from fpsim.conformance.cases import directed
from fpsim.conformance.deviations import agree
from fpsim.conformance.grid import grid
from fpsim.conformance.inputs import WIDE as INPUT
from fpsim.conformance.oracle import expected
from fpsim.conformance.stochastic import words
from fpsim.number import ElementFormat, FloatFormat, IntFormat, exact
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.counter import word

_NAMED = {fmt.name: fmt for fmt in NARROW}
SPECIAL = ("e4m3", "e2m1", "e8m0", "ue4m3", "e5m2-below", "e4m3-far-above", "uint4", "int5-q3", "lopsided", "nf4")
FORMATS = [*(_NAMED[name] for name in SPECIAL), *NARROW[::29], WIDE[0], WIDE[5]]
BITS, SEED = 5, 3


def conversions(fmt: ElementFormat) -> list[Conversion]:
    """Every rounding and overflow policy that a format has a code for."""
    found = []
    for rounding, overflow in product(Rounding, Overflow):
        how = Conversion(rounding=rounding, overflow=overflow, random_bits=BITS, seed=SEED)
        if overflow is Overflow.SATURATE or (isinstance(fmt, FloatFormat) and fmt.nan_code is not None):
            found.append(how)
    return found


def by_specification(x: np.ndarray, fmt: ElementFormat, how: Conversion, scale: float = 1.0) -> np.ndarray:
    """One call of the specification for each number of a row."""
    width = 8 * x.dtype.itemsize
    drawn = [word(how.seed, i, how.random_bits) for i in range(x.size)]
    values = zip(x.ravel().tolist(), drawn, strict=True)
    return np.array([exact.quantize(fmt, v, width=width, scale=scale, how=how, word=w) for v, w in values], x.dtype)


@pytest.mark.parametrize("fmt", FORMATS, ids=ids)
def test_it_equals_the_specification(fmt: ElementFormat) -> None:
    rng = np.random.default_rng(fmt.bits)
    for width, how in product((32, 64), conversions(fmt)):
        real = INPUT[width].real
        directed_ones = rng.choice(directed(fmt, INPUT[width]), 6)
        x = np.concatenate([directed_ones, np.array([np.nan, -np.inf], real)])[None]
        got = expected(x, fmt, np.full((1, 1), fmt.scale(width), real), how)
        wanted = by_specification(x, fmt, how)
        assert agree(got[0], wanted).all(), f"{how}, float{width}: {x} gives {got}, not {wanted}"


@pytest.mark.parametrize("name", ["e4m3", "e4m3-ieee", "int8", "e3m0"])
@pytest.mark.parametrize("rounding", [r for r in Rounding if r is not Rounding.STOCHASTIC])
def test_every_tie_goes_where_the_specification_says(name: str, rounding: Rounding) -> None:
    fmt, how = fpsim.format(name), Conversion(rounding=rounding)
    middles = grid(fmt).middles.numbers
    got = expected(middles[None], fmt, np.ones((1, 1)), how)[0]
    wanted = [float(exact.decode(fmt, exact.encode(fmt, middle, how))) for middle in middles.tolist()]
    assert agree(got, np.array(wanted)).all()


@pytest.mark.parametrize("nan", NanPolicy)
@pytest.mark.parametrize("name", ["e2m1", "int4", "e4m3", "nf4"])
def test_nan_becomes_what_the_policy_says(name: str, nan: NanPolicy) -> None:
    fmt, how = fpsim.format(name), Conversion(nan=nan)
    x = np.array([[np.nan, -np.nan, 1.0]], np.float32)
    assert agree(expected(x, fmt, np.ones((1, 1), np.float32), how)[0], by_specification(x, fmt, how)).all()


@pytest.mark.parametrize("scale", [3.0, 0.1, 2.0**-9])
def test_scales_are_one_division_and_one_product(scale: float) -> None:
    fmt, x = fpsim.format("e3m2", bias=2.7), np.linspace(-9, 9, 41, dtype=np.float32)[None]
    s = np.float32(scale)
    got = expected(x, fmt, np.full((1, 1), s * np.float32(fmt.scale(32))), Conversion())
    assert agree(got[0], by_specification(x, fmt, Conversion(), float(s))).all()


@pytest.mark.parametrize("rounding", Rounding)
def test_zero_points_move_the_range_of_the_integers(rounding: Rounding) -> None:
    fmt, zero = fpsim.format("uint3"), 3.0
    how = Conversion(rounding=rounding, random_bits=BITS, seed=SEED)
    x = np.linspace(-6, 8, 57)[None]
    got = expected(x, fmt, np.ones((1, 1)), how, np.full((1, 1), zero))
    wide = IntFormat(name="int8", bits=8)
    assert np.array_equal(got[0], np.clip(by_specification(x, wide, how), -zero, 7 - zero))


def test_words_are_the_counter_s() -> None:
    for seed, bits in ((0, 24), (2**64 - 1, 1), (5, 8)):
        assert words(seed, 50, bits).tolist() == [word(seed, i, bits) for i in range(50)]


@pytest.mark.parametrize("name", ["e3m2", "lopsided", "int4"])
def test_stochastic_rounding_has_the_exact_probabilities(name: str) -> None:
    """Over 2^12 elements of one value the share that goes up is nearly floor(d · 2^n) / 2^n, and its bias exact."""
    fmt: Any = _NAMED[name]
    how = Conversion(rounding="stochastic", random_bits=3, seed=1)  # type: ignore[arg-type]
    low, high = (float(v) for v in grid(fmt).values[-2:])
    x = np.full((1, 4096), low + (high - low) * 0.7)
    got = expected(x, fmt, np.ones((1, 1)), how)
    assert set(np.unique(got)) == {low, high}
    assert abs((got == high).mean() - 5 / 8) < 0.03


def test_wide_formats_are_refused() -> None:
    with pytest.raises(fpsim.FpsimError, match="tf32 has 19 bits"):
        expected(np.ones((1, 1)), fpsim.format("tf32"), np.ones((1, 1)))
