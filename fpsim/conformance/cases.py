"""The numbers that backends are tried on: directed ones first, then all 16-bit numbers, then random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fpsim.conformance.classify import classify
from fpsim.conformance.grid import Floats, following, grid
from fpsim.conformance.inputs import INPUTS, WIDE, Bits, InputType, bits_of, numbers_of, stepped
from fpsim.number import ElementFormat, FloatFormat

#: Of wider formats only so many values and ties are tried, evenly chosen.
MOST_VALUES = 512


class Effort(StrEnum):
    """How many numbers are tried."""

    #: Directed cases and 1,000 random numbers.
    QUICK = "quick"
    #: Also all float16 and bfloat16 numbers, and 20,000 random ones.
    NORMAL = "normal"
    #: With a million random numbers, and every value of formats up to 16 bits.
    FULL = "full"

    @property
    def random(self) -> int:
        """Random numbers."""
        return {Effort.QUICK: 1_000, Effort.NORMAL: 20_000, Effort.FULL: 1_000_000}[self]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cases:
    """Numbers of a working width and the class of each, an index into ``classify.CLASSES``."""

    x: Floats
    classes: NDArray[np.int8]


def cases(fmt: ElementFormat, width: int, effort: Effort, seed: int) -> Cases:
    """Return the numbers to try a format on.

    Args:
        fmt: an element format of up to 16 bits.
        width: 32 or 64.
        effort: how many.
        seed: of the random numbers.
    """
    kind = WIDE[width]
    parts = [directed(fmt, kind, every=effort is Effort.FULL)]
    if effort is not Effort.QUICK:
        patterns = np.arange(1 << 16, dtype=np.uint64)
        with np.errstate(invalid="ignore"):  # signalling NaN
            parts += [numbers_of(INPUTS[name], patterns).astype(kind.real) for name in ("f16", "bf16")]
    parts.append(random_numbers(fmt, kind, effort.random, seed))
    x = np.concatenate(parts)
    return Cases(x=x, classes=classify(x, fmt))


def directed(fmt: ElementFormat, kind: InputType, *, every: bool = False) -> Floats:
    """Return :func:`directed_bits` as numbers of the working width."""
    return numbers_of(kind, directed_bits(fmt, kind, every=every))


def directed_bits(fmt: ElementFormat, kind: InputType, *, every: bool = False) -> Bits:
    """Return the bit patterns of the numbers at which an implementation can go wrong, each once.

    Specials, zeros, the ends of the type, the format's largest and smallest numbers, its values, its ties, the overflow
    edge, and numbers that a detour through float32 or float16 moves onto a tie; most of them with both neighbours.

    Args:
        fmt: an element format.
        kind: the type of the numbers.
        every: all values also of formats of more than 9 bits.
    """
    s = fmt.scale(kind.width)
    table = grid(fmt)
    ties = _some(table.middles.numbers, every)
    edges = _signed(_edges(fmt))
    with np.errstate(over="ignore"):
        near = np.concatenate([[0.0, -0.0], edges, _some(table.points.numbers, every), ties]) * s
        moved = [1 + sign * 2.0**power for power in (-40, -20, -12) for sign in (1, -1)]
        twice = np.concatenate([points * factor for points in (ties, edges) for factor in moved]) * s
    around = _finite_bits(kind, near)
    steps = (0, 1, -1) if s == 1 else (0, 1, -1, 2, -2)
    parts = [_specials(kind), *(stepped(kind, around, n) for n in steps), _finite_bits(kind, twice)]
    patterns = np.concatenate(parts)
    first = np.sort(np.unique(patterns, return_index=True)[1])
    return patterns[first]


def _edges(fmt: ElementFormat) -> list[float]:
    """The ends of a float format's ranges: subnormal, normal, and what overflows."""
    if not isinstance(fmt, FloatFormat):
        most = float(fmt.max)
        return [most + 0.5, most + 1, 2 * most]
    on = fmt.grid
    least = on.min_subnormal or on.min_normal
    ends = [on.max, (on.max + following(on)) / 2, following(on), 2 * on.max, on.min_normal, least, least / 2, least / 4]
    return [float(end) for end in ends if end < 2**1023]


def _signed(points: Sequence[float]) -> NDArray[np.float64]:
    both: NDArray[np.float64] = np.array([sign * point for point in points for sign in (1.0, -1.0)])
    return both


def _some(points: NDArray[np.float64], every: bool) -> NDArray[np.float64]:
    if every or len(points) <= MOST_VALUES:
        return points
    chosen = np.linspace(0, len(points) - 1, MOST_VALUES).round().astype(int)
    middle = np.arange(len(points) // 2 - 8, len(points) // 2 + 8)
    few: NDArray[np.float64] = points[np.union1d(chosen, middle)]
    return few


def _specials(kind: InputType) -> Bits:
    """NaN (quiet, negative, signalling), ±Inf, zeros, and the smallest and largest numbers of a type."""
    fmt = kind.format
    inf, quiet = fmt.max_code + 1, fmt.nan_code or 0
    found = [quiet, quiet | fmt.sign_bit, inf + 1]
    for magnitude in (inf, 0, 1, (1 << fmt.mantissa_bits) - 1, 1 << fmt.mantissa_bits, fmt.max_code):
        found += [magnitude, magnitude | fmt.sign_bit]
    return np.array(found, np.uint64)


def _finite_bits(kind: InputType, points: NDArray[np.float64]) -> Bits:
    most = float(kind.format.max)
    return bits_of(kind, np.clip(points, -most, most))


def random_numbers(fmt: ElementFormat, kind: InputType, count: int, seed: int) -> Floats:
    """Return random numbers: half log-uniform over the format's range and beyond, half normal at a tenth of its top."""
    rng = np.random.default_rng([seed, kind.width])
    points = np.abs(grid(fmt).points.numbers)
    least, most = points[points > 0].min(), points.max()
    low, high = np.log2(least) - 3, min(np.log2(most) + 3, float(kind.format.emax))
    spread = np.exp2(rng.uniform(low, high, count - count // 2)) * rng.choice([-1.0, 1.0], count - count // 2)
    bell = rng.normal(size=count // 2) * (most / 10)
    most = float(kind.format.max)
    return np.clip(np.concatenate([spread, bell]) * fmt.scale(kind.width), -most, most).astype(kind.real)
