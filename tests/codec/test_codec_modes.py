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


@pytest.mark.parametrize("fmt", SOME, ids=ids)
def test_the_table_of_the_tests_is_the_specification(fmt: ElementFormat) -> None:
    for turn, how in enumerate(possible(fmt, CONVERSIONS)):
        dtype, width = ((np.float32, 32), (np.float64, 64))[turn % 2]
        x = np.random.default_rng(turn).choice(numbers(fmt, dtype, 200), 30)
        words = [0 if how.deterministic else word(how.seed, i, how.random_bits) for i in range(len(x))]
        wanted = [exact.quantize(fmt, float(v), width=width, how=how, word=w) for v, w in zip(x, words, strict=True)]
        assert not differences(expected_by_mode(fmt, x, how), np.array(wanted, dtype), x), how


@pytest.mark.parametrize(
    ("fmt", "turn"), [(f, i) for i, f in enumerate(NARROW[::3])], ids=lambda v: getattr(v, "name", "")
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
    (np.float64, conversion("toward-negative", "special")),
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


@pytest.mark.parametrize("fmt", [*WIDE[:2], *WIDE[4:7], WIDEST], ids=ids)
def test_wide_formats(fmt: ElementFormat) -> None:
    narrow = fmt.bits < 16 or not isinstance(fmt, FloatFormat)
    hows = possible(fmt, CONVERSIONS if narrow else CONVERSIONS[1::3])
    cases = product((np.float32, np.float64), hows) if fmt is not WIDEST else [(np.float32, conversion("to-odd"))]
    for dtype, how in cases:
        x = numbers(fmt, dtype, 120)
        for twin in ("numpy", "torch"):
            assert not disagreement(by_twin(twin), fmt, x, how), f"{twin}, {dtype}"


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
