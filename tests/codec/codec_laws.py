"""Laws of rounding that hold whatever the format; each returns an empty string, or how a rounder breaks it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from codec_mode_cases import Floats, Rounder
from codec_oracle import differences, oracle
from hypothesis import assume
from hypothesis import strategies as st

import fpsim
from fpsim.number import CodebookFormat, ElementFormat, FloatFormat, IntFormat, Specials
from fpsim.number.conversion import Conversion, Overflow, Rounding

NEAREST = (Rounding.TIES_TO_EVEN, Rounding.TIES_TO_AWAY)
_MIRROR = {
    Rounding.TOWARD_POSITIVE: Rounding.TOWARD_NEGATIVE,
    Rounding.TOWARD_NEGATIVE: Rounding.TOWARD_POSITIVE,
}


def idempotent(rounder: Rounder, fmt: ElementFormat, x: Floats, how: Conversion) -> str:
    """What is rounded stays as it is."""
    once = rounder(x, fmt, how)
    return differences(rounder(once, fmt, how), once, once)


def monotone(rounder: Rounder, fmt: ElementFormat, x: Floats, how: Conversion) -> str:
    """A greater number never becomes a lesser value. NaN stands apart."""
    ascending = np.sort(x[~np.isnan(x)])
    y = rounder(ascending, fmt, how)
    y = y[~np.isnan(y)]
    falls = np.flatnonzero(y[1:] < y[:-1])
    return f"{y[falls[0]]!r} is followed by {y[falls[0] + 1]!r}" if len(falls) else ""


def faithful(rounder: Rounder, fmt: ElementFormat, x: Floats, how: Conversion) -> str:
    """The result is one of the two values beside the quotient, and a value of the grid stays."""
    low, high = beside(fmt, x)
    y = rounder(x, fmt, how)
    wrong = np.flatnonzero(~np.isnan(x) & (y != low) & (y != high))
    return f"{x[wrong[0]]!r} gives {y[wrong[0]]!r}, not {low[wrong[0]]!r} or {high[wrong[0]]!r}" if len(wrong) else ""


def symmetric(rounder: Rounder, fmt: ElementFormat, x: Floats, how: Conversion) -> str:
    """q(−x) = −q(x), where toward positive and toward negative change places. NaN has no sign here."""
    mirrored = replace(how, rounding=_MIRROR.get(how.rounding, how.rounding))
    y = -rounder(x, fmt, mirrored)
    if not (isinstance(fmt, FloatFormat) and fmt.has_negative_zero):
        y = y + x.dtype.type(0)
    return differences(rounder(-x, fmt, how), y, -x)


def within_half_a_step(rounder: Rounder, fmt: ElementFormat, x: Floats, how: Conversion) -> str:
    """The error is less than the step between the values beside the number; to nearest at most half of it."""
    values = oracle(fmt).values * fmt.scale(8 * x.dtype.itemsize)
    inside = x[(x >= values[0]) & (x <= values[-1])]
    y = rounder(inside, fmt, how)
    for number, result, low, high in zip(inside, y, *beside(fmt, inside), strict=True):
        error, step = (
            abs(Fraction(float(result)) - Fraction(float(number))),
            Fraction(float(high)) - Fraction(float(low)),
        )
        if (2 * error > step) if how.rounding in NEAREST else (error >= step and error > 0):
            return f"{number!r} gives {result!r}, {float(error / step)} steps away"
    return ""


def overflows_as_documented(rounder: Rounder, fmt: FloatFormat, x: Floats, how: Conversion) -> str:
    """Saturating leaves nothing beyond the maximum; propagating only Inf; special codes start where IEEE 754 says."""
    top = float(fmt.max)
    step = float(fmt.grid_value(fmt.max_code + 1) - fmt.max)
    x = x[~np.isnan(x)]
    y = rounder(x, fmt, how)
    size, gone = np.abs(x.astype(np.float64)), ~np.isfinite(y)
    if how.overflow is Overflow.SATURATE:
        wrong = gone | (np.abs(y) > top)
    elif how.overflow is Overflow.PROPAGATE:
        wrong = gone != np.isinf(x)
    else:
        surely = (size >= top + step) | np.isinf(x) if how.rounding in (*NEAREST, Rounding.STOCHASTIC) else np.isinf(x)
        never = size <= top + (step / 2 if how.rounding in NEAREST else 0)
        if how.rounding is Rounding.TIES_TO_EVEN:
            never = (size < top + step / 2) | (fmt.max_code % 2 == 0) & (size == top + step / 2)
        if how.rounding is Rounding.TIES_TO_AWAY:
            never, surely = size < top + step / 2, size >= top + step / 2
        if how.rounding is Rounding.TOWARD_ZERO:
            never = np.isfinite(x)
        wrong = (gone & never) | (~gone & surely)
        wrong |= gone & (np.isinf(y) if fmt.inf_code is None else np.isnan(y))
    places = np.flatnonzero(wrong)
    return f"{x[places[0]]!r} gives {y[places[0]]!r}" if len(places) else ""


def beside(fmt: ElementFormat, x: Floats) -> tuple[Floats, Floats]:
    """The values below and above each number, equal on the grid and beyond its ends; NaN counts as 0."""
    real, table = x.dtype.type, oracle(fmt)
    s = real(fmt.scale(8 * x.dtype.itemsize))
    with np.errstate(all="ignore"):
        t = np.where(np.isnan(x), 0, x / s).astype(np.float64)
    t = np.clip(t, table.values[0], table.values[-1])
    low = table.values[np.searchsorted(table.values, t, side="right") - 1]
    high = table.values[np.searchsorted(table.values, t, side="left")]
    return low.astype(x.dtype) * s, high.astype(x.dtype) * s


@st.composite
def floats(draw: st.DrawFn, real_bias: bool = True, specials: bool = False) -> FloatFormat:
    """Any float format of up to 6 exponent and 6 mantissa bits."""
    bias = st.integers(-20, 20).map(float)
    kinds = [k for k in Specials if not specials or k is not Specials.NONE]
    try:
        return FloatFormat(
            name="any",
            exponent_bits=draw(st.integers(1, 6)),
            mantissa_bits=draw(st.integers(0, 6)),
            bias=draw(bias | st.floats(-20, 20, width=32) if real_bias else bias),
            specials=draw(st.sampled_from(kinds)),
            subnormals=draw(st.booleans()),
            signed=draw(st.sampled_from([True, True, True, False])),
        )
    except fpsim.FpsimError:
        assume(False)
        raise


integers = st.builds(
    lambda bits, kind, fraction: IntFormat(
        name="any", bits=bits, signed=kind != "unsigned", full=kind == "full", fraction_bits=fraction
    ),
    st.integers(2, 10),
    st.sampled_from(["", "full", "unsigned"]),
    st.integers(0, 8),
)
#: Multiples of 1/64, so that the tables of the tests hold every middle exactly.
codebooks = st.lists(st.integers(-4096, 4096), min_size=2, max_size=20, unique=True).map(
    lambda values: CodebookFormat(name="any", values=tuple(v / 64 for v in sorted(values)))
)


@st.composite
def numbers_near(draw: st.DrawFn, fmt: ElementFormat, dtype: type[np.floating] | None = None) -> Floats:
    """Values and middles of a format with their neighbours, numbers between, beyond and far away, and specials."""
    kind = dtype or draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    table = oracle(fmt)
    s = fmt.scale(8 * np.dtype(kind).itemsize)
    at = rng.choice(np.concatenate([table.values, table.middles]), 24)
    between = rng.choice(table.values, 24) * rng.uniform(0.5, 2, 24)
    top = float(table.values[-1]) * np.array([1, 1 + 2.0**-20, 1.03, 1.1, 1.25, 1.4, 1.5, 1.6, 1.9, 2, 2.5, 1e3])
    with np.errstate(all="ignore"):
        points = (np.concatenate([at, between, top, -top]) * s).astype(kind)
        points = np.concatenate([points, np.nextafter(points, kind(np.inf)), np.nextafter(points, kind(-np.inf))])
    few = draw(st.lists(st.floats(width=32), max_size=5))
    return np.concatenate([points, np.array([0.0, -0.0, np.inf, -np.inf, np.nan, *few], kind)])
