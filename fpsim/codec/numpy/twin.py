"""The NumPy backend: whole-array formulas in cache-sized pieces; also the helpers that other twins share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.counter import words
from fpsim.codec.numpy.modes import by_mode, linear_by_mode
from fpsim.codec.plan import LinearPlan, MagicPlan, TablePlan, mode_plan, plan, replaced_nan
from fpsim.codec.stochastic import round_any
from fpsim.number import ElementFormat, FloatFormat
from fpsim.number.conversion import DEFAULT, Conversion, Overflow, Rounding

Floats = NDArray[np.floating]
#: Elements a piece: the temporaries of the formulas stay in the second-level cache.
PIECE = 1 << 15


class NumpyBackend:
    """Rounds NumPy arrays with NumPy; see :class:`fpsim.codec.protocol.Backend`."""

    name = "numpy"
    arrays = "numpy"
    roundings = tuple(Rounding)
    overflows = tuple(Overflow)

    def quantize(
        self,
        x: Floats,
        fmt: ElementFormat,
        scale: Floats,
        out: Floats,
        zero_point: Floats | None = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write ``s · round(x / s)`` on the format's grid into ``out``; shapes as in the protocol."""
        rows, columns = x.shape
        step = max(1, PIECE // max(1, columns))
        for first in range(0, rows, step):
            part = slice(first, first + step)
            s = scale if scale.shape[0] == 1 else scale[part]
            z = zero_point if zero_point is None or zero_point.shape[0] == 1 else zero_point[part]
            for left in range(0, columns, PIECE):
                span = slice(left, left + PIECE)
                across = span if scale.shape[1] > 1 else slice(None)
                piece = x[part, span]
                random = None if how.deterministic else _words(how, piece.shape, first * columns + left)
                with np.errstate(all="ignore"):
                    out[part, span] = _rounded(
                        piece, fmt, s[:, across], None if z is None else z[:, across], how, random
                    )


def _words(how: Conversion, shape: tuple[int, ...], first: int) -> NDArray[np.uint32]:
    """Random numbers of a piece: of whole rows, or of one row's part."""
    return words(how.seed, first, int(np.prod(shape)), how.random_bits).reshape(shape)


def _rounded(
    x: Floats,
    fmt: ElementFormat,
    s: Floats,
    zero_point: Floats | None,
    how: Conversion,
    random: NDArray[np.uint32] | None,
) -> Floats:
    p = plan(fmt, x.dtype.itemsize * 8, how)
    t, real = x / s, x.dtype.type
    thresholds = None if random is None else (1 << how.random_bits) - random.astype(np.int32)
    if isinstance(p, LinearPlan):
        shift = np.zeros_like(s) if zero_point is None else zero_point
        lo, hi = real(p.lo) - shift, real(p.hi) - shift
        if how == DEFAULT:
            return (np.rint(np.clip(t, lo, hi)) + real(0)) * s + real(0)
        return linear_by_mode(t, lo, hi, how, thresholds) * s + real(0)
    if isinstance(p, TablePlan):
        g = _by_table(t, p) if random is None else round_any(t, fmt, how, random)
        return np.where(np.isnan(t), real(replaced_nan(fmt, p.width, how)), g) * s
    if how == DEFAULT:
        g = _by_integer(t, p) if p.integer else _by_magic(t, p)
    else:
        assert isinstance(fmt, FloatFormat), "only floats have a MagicPlan"
        g = by_mode(t, mode_plan(fmt, p, how), how, thresholds)
    return g * s + real(p.zero)


def _by_magic(t: Floats, p: MagicPlan) -> Floats:
    i = np.dtype(f"i{t.dtype.itemsize}").type
    a = np.where(np.abs(t) > p.max, t.dtype.type(p.max), np.abs(t))
    field = a.view(i) & i(_exponent_mask(t.dtype))
    c = (np.maximum(field, i(p.emin_field)) + i(p.shift)).view(t.dtype)
    rounded: Floats = np.copysign((a + c) - c, t)
    return rounded


def _by_integer(t: Floats, p: MagicPlan) -> Floats:
    i = np.dtype(f"i{t.dtype.itemsize}").type
    a = np.where(np.abs(t) > p.max, t.dtype.type(p.max), np.abs(t))
    pattern = a.view(i)
    if p.drop:
        last = ((pattern >> i(p.drop)) ^ i(p.parity)) & i(1)
        pattern = (pattern + (last + i((1 << (p.drop - 1)) - 1))) & i(-(1 << p.drop))
    below = (a + t.dtype.type(p.small)) - t.dtype.type(p.small)
    return np.copysign(np.where(a >= p.min_normal, pattern.view(t.dtype), below), t)


def _by_table(t: Floats, p: TablePlan) -> Floats:
    value = p.values[np.searchsorted(p.thresholds, t, side="right") - 1]
    if p.keep_zero_sign:
        value = np.where(value == 0, np.copysign(value, t), value)
    return value


def _exponent_mask(dtype: np.dtype[np.floating]) -> int:
    return 0x7F800000 if dtype.itemsize == 4 else 0x7FF0000000000000
