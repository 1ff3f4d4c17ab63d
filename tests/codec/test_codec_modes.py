"""Every rounding mode, overflow and NaN policy: each twin equals the specification bit for bit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from codec_cases import NARROW, WIDE, WIDEST, ids
from codec_mode_cases import (
    CONVERSIONS,
    by_twin,
    conversion,
    disagreement,
    numbers,
    possible,
)
from codec_mode_oracle import expected_by_mode
from codec_oracle import differences, oracle

import fpsim
from fpsim.number import ElementFormat, FloatFormat, exact
from fpsim.number.conversion import Conversion, Rounding
from fpsim.number.counter import word

#: One of each formulation: magic, integer, without subnormals, linear, table, real bias, saturating only.
SOME = [
    *(fpsim.format(n) for n in ("e4m3", "e5m2", "e4m3-fnuz", "e3m0", "e2m1", "int8", "uint4", "nf4", "e8m0")),
    fpsim.format("e4m3", subnormals=False),
    fpsim.format("e5m2", bias=6.37),
]


def specified(fmt: ElementFormat, x: np.ndarray, how: Conversion) -> np.ndarray:
    """The specification itself, number by number."""
    words = [0 if how.deterministic else word(how.seed, i, how.random_bits) for i in range(len(x))]
    width = 8 * x.dtype.itemsize
    wanted = [exact.quantize(fmt, float(v), width=width, how=how, word=w) for v, w in zip(x, words, strict=True)]
    return np.array(wanted, x.dtype)


@pytest.mark.parametrize("fmt", SOME, ids=ids)
def test_the_table_of_the_tests_is_the_specification(fmt: ElementFormat) -> None:
    for turn, how in enumerate(possible(fmt, CONVERSIONS)):
        dtype = (np.float32, np.float64)[turn % 2]
        x = np.random.default_rng(turn).choice(numbers(fmt, dtype, 200), 30)
        wanted = specified(fmt, x, how)
        assert not differences(expected_by_mode(fmt, x, how), wanted, x), how


@pytest.mark.parametrize(
    ("fmt", "turn"), [(f, i) for i, f in enumerate(NARROW[::5])], ids=lambda v: getattr(v, "name", "")
)
def test_values_and_middles_in_every_mode(fmt: ElementFormat, turn: int) -> None:
    x = numbers(fmt, (np.float32, np.float64)[turn % 2], 300)
    for how, twin in product(possible(fmt, CONVERSIONS), ("numpy", "torch")):
        found = disagreement(by_twin(twin), fmt, x, how)
        assert not found, f"{twin}: {found}"


#: Compiled kernels, of which each takes a second: every mode with the policy that has most to decide, and some without.
COMPILED: list[tuple[type[np.floating], Conversion]] = [
    *((np.float32, conversion(mode, "special")) for mode in Rounding),
    (np.float64, conversion("to-odd", nan="max")),
    (np.float64, conversion("stochastic", "propagate", bits=17)),
]


@pytest.mark.parametrize(("dtype", "how"), COMPILED, ids=str)
def test_compiled_kernels(dtype: type[np.floating], how: Conversion) -> None:
    formats = [f for f in NARROW[1::12] if not f.name.startswith(("int", "uint")) and possible(f, [how])]
    for fmt in formats:
        assert not disagreement(by_twin("numba"), fmt, numbers(fmt, dtype, 300), how)


INTEGER = (("ties-to-away", "saturate", "max"), ("toward-negative",), ("to-odd", "saturate", "zero"), ("stochastic",))


@pytest.mark.parametrize("how", [conversion(*c) for c in INTEGER], ids=str)
def test_compiled_kernels_of_integers(how: Conversion) -> None:
    for name in ("int2", "int5", "int8-full", "uint8", "int16"):
        fmt = fpsim.format(name)
        assert not disagreement(by_twin("numba"), fmt, numbers(fmt, np.float32, 300), how)


@pytest.mark.parametrize("fmt", [WIDE[0], *WIDE[4:7], WIDEST], ids=ids)
def test_wide_formats(fmt: ElementFormat) -> None:
    narrow = fmt.bits < 16 or not isinstance(fmt, FloatFormat)
    hows = possible(fmt, CONVERSIONS[::2] if narrow else CONVERSIONS[1::3])
    cases = product((np.float32, np.float64), hows) if fmt is not WIDEST else [(np.float32, conversion("to-odd"))]
    for dtype, how in cases:
        x = numbers(fmt, dtype, 120)
        for twin in ("numpy", "torch"):
            assert not disagreement(by_twin(twin), fmt, x, how), f"{twin}, {dtype}"


def wide(name: str, exponent_bits: int, mantissa_bits: int, bias: float, specials: str, **more: bool) -> FloatFormat:
    return FloatFormat(
        name=name,
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=bias,
        specials=specials,  # type: ignore[arg-type]
        **more,
    )


#: Formats without a table, some of them as wide as the working type, so that nothing is left to round.
VERY_WIDE = [
    (fpsim.format("tf32"), 32),
    (fpsim.format("binary32"), 32),
    (wide("e8m11-real", 8, 11, 127.4, "ieee"), 32),
    (wide("e8m11-flat", 8, 11, 127, "ieee", subnormals=False), 32),
    (wide("e7m23-fnuz", 7, 23, 63, "fnuz"), 32),
    (wide("e9m40", 9, 40, 255, "none"), 64),
    (wide("e10m3-real", 10, 3, 511.3, "fn"), 64),
    (exact.BINARY64, 64),
]


def beside_some_values(fmt: FloatFormat, dtype: type[np.floating]) -> np.ndarray:
    """Values at both ends of the binades, quarters between them and their successors, with their neighbours."""
    one, parts = 1 << fmt.mantissa_bits, []
    for code in (0, 1, 2, one - 1, one, one + 1, fmt.max_code // 2, fmt.max_code - 1, fmt.max_code):
        low, high = fmt.grid_value(code), fmt.grid_value(code + 1)
        parts += [min(low + (high - low) * quarter / 4, exact.BINARY64.max) for quarter in range(4)]
    with np.errstate(over="ignore"):
        x = (np.array([float(v) for v in parts]) * fmt.scale(8 * np.dtype(dtype).itemsize)).astype(dtype)
        x = np.concatenate([x, np.nextafter(x, dtype(np.inf)), np.nextafter(x, dtype(-1)), [dtype(np.inf)]])
    return np.concatenate([x, -x, [dtype(np.nan)]])


@pytest.mark.parametrize(("fmt", "width"), VERY_WIDE, ids=lambda v: getattr(v, "name", ""))
def test_formats_too_wide_for_a_table(fmt: FloatFormat, width: int) -> None:
    rng, dtype = np.random.default_rng(width), np.float32 if width == 32 else np.float64
    for how in possible(fmt, CONVERSIONS):
        x = rng.choice(beside_some_values(fmt, dtype), 24)
        wanted = specified(fmt, x, how)
        for twin in ("numpy", "torch") if how.overflow != "special" or width == 64 else ("numpy", "torch", "numba"):
            assert not differences(by_twin(twin)(x, fmt, how), wanted, x), f"{twin}, {how}"


def test_numbers_of_the_cases_reach_every_class() -> None:
    """The inputs hold ties, both ends' edges, subnormals and specials; else the tests above would prove little."""
    fmt = fpsim.format("e4m3")
    x, table = numbers(fmt, np.float32, 300).astype(np.float64), oracle(fmt)
    assert np.isin(x, table.middles).sum() > 20
    assert ((x > 448) & (x < 480)).any()
    assert (x == 464).any()
    assert (np.abs(x[x != 0]) < 2.0**-10).any()
    assert np.isnan(x).any()
    assert (np.isinf(x)).sum() >= 2
    assert (np.signbit(x) & (x == 0)).any()
