"""The exact reference for whole arrays: its values and its decisions at ties, as a table to search.

Values come from ``exact.decode`` and the winner of each tie from ``exact.encode``; ``test_codec_oracle.py`` holds
the table to ``exact.quantize`` itself. Nothing here is shared with the twins' own tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat, exact

#: Wider formats have too many ties to ask the reference about each.
ASKED_BITS = 9


@dataclass(frozen=True, slots=True, eq=False)
class Oracle:
    """A grid in ascending order: values and middles in float64 (exactly), codes, and whether a tie goes up."""

    values: NDArray[np.float64]
    codes: NDArray[np.int64]
    middles: NDArray[np.float64]
    up: NDArray[np.bool_]
    negative_zero: int | None
    nan_code: int | None


@lru_cache(maxsize=512)
def oracle(fmt: ElementFormat) -> Oracle:
    """Return the table of a format's integer-bias grid."""
    grid, narrow = fmt.grid, fmt.bits <= ASKED_BITS
    found: dict[float, int] = {}
    for code in used_codes(grid):
        value = exact.decode(grid, code, width=64)
        if isinstance(value, Fraction):
            found.setdefault(exactly(value) if narrow else float(value), code)
    values = sorted(found)
    middles = [(low + high) / 2 for low, high in pairwise(values)]
    if narrow:
        assert all(
            2 * Fraction(m) == Fraction(a) + Fraction(b) for m, (a, b) in zip(middles, pairwise(values), strict=False)
        )
        won = [exact.decode(grid, exact.encode(grid, middle), width=64) for middle in middles]
        up = [value == high for value, high in zip(won, values[1:], strict=True)]
    else:
        # Both codes are even only beside zero, in a format without subnormals; then zero wins.
        even = [(found[low] % 2 == 0, found[high] % 2 == 0) for low, high in pairwise(values)]
        up = [high and not (low and values[i] == 0) for i, (low, high) in enumerate(even)]
    floats = isinstance(fmt, FloatFormat)
    return Oracle(
        values=np.array(values),
        codes=np.array([found[v] for v in values]),
        middles=np.array(middles),
        up=np.array(up, np.bool_),
        negative_zero=fmt.sign_bit if floats and fmt.has_negative_zero else None,
        nan_code=fmt.nan_code if floats else None,
    )


def used_codes(fmt: ElementFormat) -> range | list[int]:
    """The codes that rounding can give, special ones included."""
    if isinstance(fmt, CodebookFormat):
        return range(len(fmt.values))
    codes = range(1 << fmt.bits)
    if isinstance(fmt, IntFormat):
        return [c for c in codes if not fmt.signed or fmt.full or c != 1 << (fmt.bits - 1)]
    if not fmt.subnormals and fmt.zero:
        return [c for c in codes if not 0 < c & fmt.magnitude_mask < 1 << fmt.mantissa_bits]
    return codes


def exactly(value: Fraction) -> float:
    """The fraction as float64, which must hold it."""
    number = float(value)
    assert Fraction(number) == value
    return number


def nearest(fmt: ElementFormat, t: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index into the oracle's values of the one nearest each ``t`` (no NaN)."""
    table, wide = oracle(fmt), t.astype(np.float64)
    below = np.searchsorted(table.middles, wide, side="left")
    beyond = np.searchsorted(table.middles, wide, side="right")
    tie = below != beyond
    return np.where(tie, below + table.up[np.minimum(below, len(table.up) - 1)], below)


def expected_codes(fmt: ElementFormat, t: NDArray[np.floating]) -> NDArray[np.int64]:
    """The reference's codes of ``t``, which is already divided by the format's scale; NaN becomes −1 without NaN."""
    table = oracle(fmt)
    codes = table.codes[nearest(fmt, np.nan_to_num(t, posinf=np.inf, neginf=-np.inf))]
    if table.negative_zero is not None:
        codes = np.where((codes == 0) & np.signbit(t), table.negative_zero, codes)
    return np.where(np.isnan(t), -1 if table.nan_code is None else table.nan_code, codes)


def expected(
    fmt: ElementFormat, x: NDArray[np.floating], scale: NDArray[np.floating] | float = 1.0
) -> NDArray[np.floating]:
    """The reference's results for float32 or float64 numbers: t = x / s, g nearest, y = s · g.

    Args:
        fmt: an element format.
        x: float32 or float64, which is the working width.
        scale: a quantizer's scale, a number or an array that broadcasts with ``x``.
    """
    real, table = x.dtype.type, oracle(fmt)
    s = np.asarray(scale, x.dtype) * real(fmt.scale(x.dtype.itemsize * 8))
    with np.errstate(over="ignore", invalid="ignore"):
        t = x / s
    g = saturated(table.values[nearest(fmt, np.where(np.isnan(t), 0, t))], x.dtype)
    if table.negative_zero is not None:
        g = np.where(g == 0, np.copysign(g, t), g)
    with np.errstate(over="ignore"):
        return np.where(np.isnan(t), t, g * s).astype(x.dtype)


def saturated(values: NDArray[np.floating], dtype: np.dtype) -> NDArray[np.floating]:
    """Values rounded to a type; beyond its largest finite number they become it."""
    largest = 3.3895313892515355e38 if dtype.name == "bfloat16" else float(np.finfo(dtype).max)
    with np.errstate(invalid="ignore"):
        return np.clip(values, -largest, largest).astype(dtype)


def directed(fmt: ElementFormat, dtype: type[np.floating], scale: float = 1.0) -> NDArray[np.floating]:
    """Every value and every middle of a format with its neighbours in ``dtype`` (and in float32), and the extremes."""
    table, info = oracle(fmt), np.finfo(dtype)
    s = float(np.asarray(scale, dtype) * dtype(fmt.scale(8 * info.dtype.itemsize)))
    with np.errstate(over="ignore"):
        points = (np.concatenate([table.values, table.middles]) * s).astype(dtype)
        narrow = points.astype(np.float32)
        parts = [points]
        for steps in range(1, 2 if s == 1 else 4):
            parts += [_stepped(points, steps), _stepped(points, -steps)]
        parts += [_stepped(narrow, 1).astype(dtype), _stepped(narrow, -1).astype(dtype)]
    extremes = [0, info.smallest_subnormal, info.tiny, info.max, np.inf, 1, 1e-30, 3]
    signed = np.array([*extremes, *(-e for e in extremes), np.nan], dtype)
    signed[len(extremes)] = -0.0
    return np.concatenate([*parts, signed])


def _stepped(points: NDArray[np.floating], steps: int) -> NDArray[np.floating]:
    """The numbers ``steps`` units in the last place away."""
    toward = points.dtype.type(np.inf if steps > 0 else -np.inf)
    for _ in range(abs(steps)):
        points = np.nextafter(points, toward)
    return points


def differences(actual: NDArray[np.floating], wanted: NDArray[np.floating], x: NDArray[np.floating]) -> str:
    """An empty string where two arrays agree bit for bit (any NaN equals any NaN), or the first few that do not."""
    assert actual.dtype == wanted.dtype, f"{actual.dtype} is not {wanted.dtype}"
    assert actual.shape == wanted.shape, f"{actual.shape} is not {wanted.shape}"
    pattern = f"u{actual.dtype.itemsize}"
    same = np.ascontiguousarray(actual).view(pattern) == np.ascontiguousarray(wanted).view(pattern)
    wrong = np.flatnonzero(~(same | (np.isnan(actual) & np.isnan(wanted))))
    first = [f"{x.flat[i]!r} gives {actual.flat[i]!r}, not {wanted.flat[i]!r}" for i in wrong[:5]]
    return f"{len(wrong)} differ: {'; '.join(first)}" if first else ""
