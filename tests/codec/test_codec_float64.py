"""float64 is rounded once: every boundary of every narrow format, in every mode, as the exact specification says."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from codec_cases import NARROW, TWINS, ids
from codec_oracle import differences, expected, oracle
from numpy.typing import NDArray

import fpsim
from fpsim.number import ElementFormat, FloatFormat, exact
from fpsim.number.conversion import Conversion, Overflow, Rounding

Floats = NDArray[np.float64]
MODES = [mode for mode in Rounding if mode is not Rounding.STOCHASTIC]
SUBSET = ("e4m3", "e5m2", "e2m1", "e3m2", "e3m4@6.37", "int8", "nf4")
#: Of a float64, so small that float32 does not see it beside 1.
TINY = 2.0**-40


@pytest.fixture(scope="module", autouse=True)
def _fast_specification() -> Iterator[None]:
    """Keeps the values of codes, which the specification computes anew at each step of its search."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FloatFormat, "grid_value", cache(FloatFormat.grid_value))
        yield


def named(name: str) -> ElementFormat:
    base, _, bias = name.partition("@")
    return fpsim.format(base, bias=float(bias) if bias else None)


def rounded(twin: str, x: Floats, fmt: ElementFormat, **policies: str) -> Floats:
    """What a backend makes of float64, a tensor where it takes tensors."""
    if twin != "torch":
        return fpsim.quantize(x, fmt, backend=twin, **policies)
    return fpsim.quantize(torch.from_numpy(x), fmt, backend=twin, **policies).numpy()


def beside(points: Floats) -> Floats:
    """The points with both neighbours in float64; and the extremes."""
    extremes = [0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, -1.7976931348623157e308, np.inf, -np.inf, np.nan]
    with np.errstate(over="ignore"):
        around = (points, np.nextafter(points, np.inf), np.nextafter(points, -np.inf))
    return np.concatenate([*around, np.array(extremes)])


@pytest.mark.parametrize("fmt", NARROW, ids=ids)
def test_every_boundary_of_every_narrow_format(fmt: ElementFormat) -> None:
    table = oracle(fmt)
    points = np.concatenate([table.middles, table.values]) * fmt.scale(64)
    x = beside(points)
    wanted = expected(fmt, x)
    if fmt.scale(64) == 1:  # said once more without the table's search: a tie goes as the reference says, the rest away
        low, high = table.values[:-1], table.values[1:]
        at, above, below = (wanted[k * len(points) :][: len(low)] for k in range(3))
        assert np.array_equal(at, np.where(table.up, high, low))
        assert np.array_equal(above, high)
        assert np.array_equal(below, low)
    for twin in TWINS:
        assert not differences(rounded(twin, x, fmt), wanted, x), twin


@cache
def value(fmt: ElementFormat, code: int) -> float:
    return float(exact.decode(fmt.grid, code, width=64))


def by_specification(fmt: ElementFormat, x: Floats, how: Conversion, inside: Floats | None = None) -> Floats:
    """t = x / s, g as specified, y = s · g; ``inside`` has the results of what does not overflow, if known."""
    s = fmt.scale(64)
    with np.errstate(all="ignore"):
        t = x / s
        asked = ~np.isnan(t) if inside is None else np.abs(t) > float(fmt.grid.max)
        g = np.full_like(t, np.nan)
        g[asked] = [value(fmt, exact.encode(fmt.grid, float(v), how)) for v in t[asked]]
        return g * s if inside is None else np.where(asked, g * s, inside)


def boundaries(fmt: ElementFormat) -> Floats:
    """Values, middles and, beyond the largest value, what would follow it and the tie before."""
    table = oracle(fmt)
    points = [*table.values, *table.middles]
    if isinstance(fmt, FloatFormat):
        largest, beyond = float(fmt.grid.max), float(fmt.grid.grid_value(fmt.max_code + 1))
        points += [sign * v for sign in (1, -1) for v in ((largest + beyond) / 2, beyond)]
    return np.array(points) * fmt.scale(64)


def overflows(fmt: ElementFormat) -> list[Overflow]:
    """The policies that a format has codes for."""
    has_nan = isinstance(fmt, FloatFormat) and fmt.nan_code is not None
    return list(Overflow) if has_nan else [Overflow.SATURATE]


@pytest.mark.parametrize(("name", "mode"), product(SUBSET, MODES))
def test_every_boundary_in_every_mode(name: str, mode: Rounding) -> None:
    fmt = named(name)
    x = beside(boundaries(fmt))
    saturated = by_specification(fmt, x, Conversion(rounding=mode))
    for overflow in overflows(fmt):
        wanted = by_specification(fmt, x, Conversion(rounding=mode, overflow=overflow), saturated)
        for twin in TWINS:
            if twin == "numba" and overflow is Overflow.PROPAGATE and mode is not Rounding.TIES_TO_EVEN:
                continue  # a second of compiling each; saturate but for Inf, which the mode does not see
            y = rounded(twin, x, fmt, rounding=mode, overflow=overflow)
            assert not differences(y, wanted, x), f"{twin}, {mode}, {overflow}"


def test_specified_values_are_those_of_the_whole_specification() -> None:
    for name, mode in product(SUBSET, MODES):
        fmt, how = named(name), Conversion(rounding=mode)
        x = np.random.default_rng(1).choice(beside(boundaries(fmt)), 3)
        wanted = np.array([exact.quantize(fmt, float(v), width=64, how=how) for v in x])
        assert not differences(by_specification(fmt, x, how), wanted, x), f"{name}, {mode}"


@pytest.mark.parametrize("twin", TWINS)
def test_one_rounding_and_not_two(twin: str) -> None:
    x = np.array([1.0625 + TINY, 1.0625, 1.0625 - TINY, 1.1875 + TINY, 1.1875, 1.1875 - TINY])
    assert rounded(twin, x, fpsim.format("e4m3")).tolist() == [1.125, 1.0, 1.0, 1.25, 1.25, 1.125]
    with_two = rounded(twin, x.astype(np.float32).astype(np.float64), fpsim.format("e4m3"))
    assert with_two.tolist() == [1.0, 1.0, 1.0, 1.25, 1.25, 1.25]


def plain() -> list[ElementFormat]:
    """Formats whose middles are normal numbers of float32, so that rounding to it first makes ties of what is near."""
    found = []
    for fmt in NARROW:
        middles = oracle(fmt).middles
        size = np.abs(middles)
        normal = (size == 0) | ((size >= 2.0**-126) & (size < 2.0**127))
        if fmt.scale(64) == 1 and normal.all() and np.array_equal(middles.astype(np.float32), middles):
            found.append(fmt)
    return found


@pytest.mark.parametrize("fmt", plain(), ids=ids)
def test_a_first_rounding_to_float32_would_show(fmt: ElementFormat) -> None:
    table = oracle(fmt)
    kept = table.middles != 0
    points, low, high = table.middles[kept], table.values[:-1][kept], table.values[1:][kept]
    above, below = points + np.abs(points) * TINY, points - np.abs(points) * TINY
    assert np.array_equal(above.astype(np.float32), points)
    assert np.array_equal(below.astype(np.float32), points)
    twice = expected(fmt, points)
    assert np.all((twice != low) ^ (twice != high))  # one of the two sides would be wrong at every boundary
    for twin in TWINS:
        assert np.array_equal(rounded(twin, above, fmt), high), twin
        assert np.array_equal(rounded(twin, below, fmt), low), twin
