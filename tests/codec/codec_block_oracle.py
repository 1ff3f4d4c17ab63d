"""Block formats by a plain evaluation of the standards' rules on fractions, and blocks of all kinds to try them on."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from codec_oracle import expected, nearest, oracle, saturated

from fpsim.number import BlockFormat, FloatFormat, IntFormat
from fpsim.number.exact import WIDTHS


def quantized(fmt: BlockFormat, x: np.ndarray) -> np.ndarray:
    """What the rules make of ``[rows, columns]`` in float32 or float64."""
    return quantized_by_ratios(fmt, x) if fmt.rule == "max" else quantized_by_powers(fmt, x)


def floor_log2(value: Fraction) -> int:
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= value else exponent - 1


def mantissa_bits(element: Any) -> int:
    return element.mantissa_bits if isinstance(element, FloatFormat) else element.hi.bit_length() - 1


def power_exponent(fmt: BlockFormat, amax: Fraction, width: int) -> int:
    """OCP MX v1.0, section 6.3, and the other rules, in exact arithmetic; a block of zeros has the lowest scale."""
    lo = exponent_range(fmt, width)[0]
    if amax == 0:
        return lo
    emax = floor_log2(fmt.element.max)
    if fmt.rule == "floor":
        exponent = floor_log2(amax) - emax
    elif fmt.rule == "ceil":
        exponent = floor_log2(amax) - emax + (amax != Fraction(2) ** floor_log2(amax))
    elif fmt.rule == "even":
        unit = Fraction(2) ** (floor_log2(amax) - mantissa_bits(fmt.element))
        half_up = (amax / unit + Fraction(1, 2)).__floor__() * unit
        exponent = floor_log2(half_up) - emax
    else:
        needed = amax / fmt.element.max
        exponent = floor_log2(needed) + (needed != Fraction(2) ** floor_log2(needed))
    return min(exponent_range(fmt, width)[1], max(lo, exponent))


def exponent_range(fmt: BlockFormat, width: int) -> tuple[int, int]:
    """The scale format's own, as far as scales and the largest element times the scale stay in the working width."""
    work, element = WIDTHS[width], fmt.element
    widest = max(element.max, -element.lo * element.unit) if isinstance(element, IntFormat) else element.max
    return max(fmt.scale.emin, work.emin - 1), min(fmt.scale.emax, work.emax - max(0, floor_log2(widest)))


def magnitude(block: np.ndarray) -> np.floating:
    """Largest magnitude: NaN does not count, Inf counts as the largest finite number."""
    finite = np.minimum(np.abs(block[~np.isnan(block)]), np.finfo(block.dtype).max)
    return finite.max() if finite.size else block.dtype.type(0)


def quantized_by_powers(fmt: BlockFormat, x: np.ndarray) -> np.ndarray:
    y = np.empty_like(x)
    width = 8 * x.dtype.itemsize
    for row in range(x.shape[0]):
        for start in range(0, x.shape[1], fmt.block):
            part = x[row, start : start + fmt.block]
            exponent = power_exponent(fmt, Fraction(float(magnitude(part))), width)
            y[row, start : start + fmt.block] = rounded(fmt.element, part, exponent)
    return y


def rounded(element: Any, x: np.ndarray, exponent: int) -> np.ndarray:
    """Elementwise nearest on the grid times 2^exponent; no division rounds, unless by the element's own scale."""
    own = element.scale(8 * x.dtype.itemsize)
    if not isinstance(element, IntFormat) and own not in (0.5, 1.0):
        return expected(element, x, np.ldexp(x.dtype.type(1), exponent))
    with np.errstate(over="ignore", invalid="ignore"):
        t = np.ldexp(x.astype(np.float64), -exponent) / own
    g = oracle(element).values[nearest(element, np.where(np.isnan(t), 0, t))]
    if oracle(element).negative_zero is not None:
        g = np.where(g == 0, np.copysign(g, t), g)
    y = saturated(np.ldexp(g * own, exponent), x.dtype)
    return np.where(np.isnan(x), x, y)


def quantized_by_ratios(fmt: BlockFormat, x: np.ndarray) -> np.ndarray:
    """NVFP4: tensor scale amax / (scale max · element max), block scale amax / max, rounded, never zero."""
    real, y = x.dtype.type, np.empty_like(x)
    smallest = real(min(v for v in oracle(fmt.scale).values if v > 0))
    top = magnitude(x)
    whole = max(top / real(float(fmt.scale.max * fmt.element.max)), np.finfo(x.dtype).tiny)
    most = real(float(fmt.scale.max)), real(float(fmt.element.max))
    with np.errstate(over="ignore"):
        while np.isinf(most[0] * whole * most[1]):  # the largest result must not overflow
            whole = np.nextafter(whole, real(0))
    if not fmt.tensor_scale or top == 0:
        whole = real(1)
    for row in range(x.shape[0]):
        for start in range(0, x.shape[1], fmt.block):
            part = x[row, start : start + fmt.block]
            ratio = magnitude(part) / real(float(fmt.element.max)) / real(whole)
            scale = max(expected(fmt.scale, np.array([ratio], x.dtype))[0], smallest)
            y[row, start : start + fmt.block] = expected(fmt.element, part, scale * real(whole))
    return y


def blocks(dtype: type[np.floating], columns: int, seed: int = 0) -> np.ndarray:
    """Blocks of all kinds: ordinary, zeros, subnormal, Inf, NaN, huge, binade edges, spread over many powers."""
    rng, info = np.random.default_rng(seed), np.finfo(dtype)
    x = rng.normal(size=(24, columns)).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        x[1:9] = np.ldexp(x[1:9], rng.integers(info.minexp - 20, info.maxexp - 2, (8, 1)))
    x[9], x[10] = 0, -0.0
    x[11] = info.smallest_subnormal * rng.integers(-5, 6, columns)
    x[12] = info.tiny * rng.uniform(-1, 1, columns)
    x[13], x[14], x[15] = np.nan, np.inf, -np.inf
    x[16, ::3], x[17, ::5], x[18, 1::7] = np.nan, np.inf, -0.0
    x[19] = info.max * rng.uniform(-1, 1, columns)
    edges = np.array([1, 1.5, 1.75, 1.875, 1.9375, 2 - 2**-6, 2 - 2**-7, 2 - info.eps, 1 + info.eps, 448 / 256], dtype)
    for row in range(20, 24):
        top = np.ldexp(edges[rng.integers(0, len(edges), columns)], rng.integers(-2, 3, columns))
        x[row] = np.where(rng.random(columns) < 0.1, top, x[row] / 8)
    x[0] /= 10
    return x
