"""The exact reference for whole arrays in every rounding mode and overflow policy, by searching its grid.

Which neighbour wins comes from ``neighbours.goes_away`` and what lies beyond the ends from ``exact.encode``;
``test_codec_modes.py`` holds all of it to ``exact.quantize`` itself.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import product

import numpy as np
from codec_oracle import oracle, saturated
from numpy.typing import NDArray

from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, exact
from fpsim.number.conversion import Conversion, NanPolicy, Overflow
from fpsim.number.counter import word
from fpsim.number.neighbours import Between, goes_away

Floats = NDArray[np.floating]
#: One distance for each outcome of a comparison with the middle: below, at, above.
DISTANCES = (Fraction(1, 4), Fraction(1, 2), Fraction(3, 4))


def expected_by_mode(fmt: ElementFormat, x: Floats, how: Conversion, scale: Floats | float = 1.0) -> Floats:
    """The reference's results for float32 or float64 numbers: t = x / s, g on the grid, y = s · g.

    Args:
        fmt: an element format.
        x: float32 or float64, which is the working width; random words follow its C order.
        how: mode and policies.
        scale: a quantizer's scale, a number or an array that broadcasts with ``x``.
    """
    real = x.dtype.type
    with np.errstate(all="ignore"):
        s = np.asarray(scale, x.dtype) * real(fmt.scale(x.dtype.itemsize * 8))
        t = x / s
    g = on_grid(fmt, t.astype(np.float64), how, words_of(x.shape, how))
    held = np.where(np.isfinite(g), saturated(g, x.dtype), g).astype(x.dtype)
    with np.errstate(all="ignore"):
        y = (held * s).astype(x.dtype)
    kept = how.nan is NanPolicy.KEEP or (isinstance(fmt, FloatFormat) and fmt.nan_code is not None)
    return np.where(np.isnan(t), t, y) if kept else y


@lru_cache(maxsize=128)
def words_of(shape: tuple[int, ...], how: Conversion) -> NDArray[np.int64]:
    """Each element's random number; zeros for a mode without."""
    if how.deterministic:
        return np.zeros(shape, np.int64)
    numbers = [word(how.seed, i, how.random_bits) for i in range(int(np.prod(shape)))]
    return np.array(numbers, np.int64).reshape(shape)


def on_grid(fmt: ElementFormat, t: Floats, how: Conversion, words: NDArray[np.int64]) -> Floats:
    """The grid's values for quotients in float64; NaN becomes what the policy makes of it."""
    table = oracle(fmt)
    known = np.where(np.isnan(t), 0, t)
    g = np.where(_away(fmt, known, how, words), *_neighbours(fmt, known)[::-1])
    beyond = (known > table.values[-1]) | (known < min(table.values[0], 0))
    if how.overflow is not Overflow.SATURATE and beyond.any():
        g[beyond] = _beyond(fmt, known[beyond], how, words[beyond])
    if table.negative_zero is not None:
        g = np.where(g == 0, np.copysign(g, known), g)
    if np.isnan(t).any():
        kept = table.nan_code is not None or how.nan is NanPolicy.KEEP
        g = np.where(np.isnan(t), np.nan if kept else _asked(fmt, np.nan, how, 0), g)
    return g


def _below(fmt: ElementFormat, t: Floats) -> NDArray[np.int64]:
    """Index of the lower neighbour, of which there is always an upper one."""
    values = oracle(fmt).values
    return np.clip(np.searchsorted(values, t, side="right") - 1, 0, len(values) - 2)


def _neighbours(fmt: ElementFormat, t: Floats) -> tuple[Floats, Floats]:
    """The neighbour nearer to zero and the other, of numbers clamped to the grid."""
    values, below = oracle(fmt).values, _below(fmt, t)
    low, high = values[below], values[below + 1]
    falling = np.abs(low) > np.abs(high)
    return np.where(falling, high, low), np.where(falling, low, high)


def _away(fmt: ElementFormat, t: Floats, how: Conversion, words: NDArray[np.int64]) -> NDArray[np.bool_]:
    table, below = oracle(fmt), _below(fmt, t)
    near, far = _neighbours(fmt, t)
    falling = far == table.values[below]
    inside = np.clip(t, table.values[0], table.values[-1])
    if how.deterministic:
        side = np.sign(inside - table.middles[below]).astype(int)
        place = np.where(falling, -side, side) + 1
        odd = table.codes[np.where(falling, below + 1, below)] % 2
        found = _decisions(how)[place, odd, falling.astype(int)]
    else:
        found = _by_chance(fmt, inside, near, far, how, words)
    return np.where(inside == far, True, found & (inside != near))


@lru_cache(maxsize=64)
def _decisions(how: Conversion) -> NDArray[np.bool_]:
    """Whether the farther neighbour wins: below, at or above the middle × near code odd × negative."""
    ask = [
        goes_away(Between(distance=d, near_is_odd=odd, negative=negative), how)
        for d, odd, negative in product(DISTANCES, (False, True), (False, True))
    ]
    return np.array(ask, np.bool_).reshape(3, 2, 2)


def _by_chance(
    fmt: ElementFormat, t: Floats, near: Floats, far: Floats, how: Conversion, words: NDArray[np.int64]
) -> NDArray[np.bool_]:
    steps = 1 << how.random_bits
    if isinstance(fmt, CodebookFormat):
        flat = zip(t.flat, near.flat, far.flat, words.flat, strict=True)
        found = [
            (Fraction(a) - Fraction(n)) / (Fraction(f) - Fraction(n)) * steps // 1 + int(w) >= steps
            for a, n, f, w in flat
        ]
        return np.array(found, np.bool_).reshape(t.shape)
    gap = np.abs(far - near)
    assert np.all(np.frexp(gap)[0] == 0.5), "steps are powers of two, so that nothing here rounds"
    return np.floor(np.abs(t - near) / gap * steps) + words >= steps


def _beyond(fmt: FloatFormat, t: Floats, how: Conversion, words: NDArray[np.int64]) -> Floats:
    """What numbers beyond the ends become, asked of the reference: each one, or one of each kind."""
    if not how.deterministic:
        return np.array([_asked(fmt, _exactly(v), how, int(w)) for v, w in zip(t, words, strict=True)])
    grid, negative, size = fmt.grid, t < 0, np.abs(t)
    after = grid.grid_value(grid.max_code + 1)
    middle = float((grid.max + after) / 2)
    kind = (size >= middle).astype(int) + (size > middle) + (size >= float(after)) + np.isinf(size)
    return _kinds(grid, replace(how, seed=0))[kind, negative.astype(int)]


@lru_cache(maxsize=512)
def _kinds(grid: FloatFormat, how: Conversion) -> Floats:
    """Below, at and above the middle to the next number, that number and beyond, infinity; each with both signs."""
    step = grid.grid_value(grid.max_code + 1) - grid.max
    magnitudes = [*(grid.max + d * step for d in DISTANCES), grid.max + step, np.inf]
    return np.array([[_asked(grid, m, how, 0), _asked(grid, -m, how, 0)] for m in magnitudes])


def _exactly(value: float) -> Fraction | float:
    return Fraction(float(value)) if np.isfinite(value) else float(value)


def _asked(fmt: ElementFormat, value: Fraction | float, how: Conversion, number: int) -> float:
    return float(exact.decode(fmt.grid, exact.encode(fmt.grid, value, how, word=number), width=64))
