"""The scale of least squared error, searched so finely that it may be called the best."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.number import ElementFormat, FloatFormat, IntFormat
from fpsim.quant.scale_errors import FEW, ErrorsAt, errors_of, largest
from fpsim.quant.scales import check

#: Candidates an octave of the first pass, how much finer each of two passes around the best ones is, and how many.
COARSE, FINER, KEPT = 48, 16, 4
#: Scales whose error is larger by less than this, 0.001 dB, count as equally good.
EQUAL = 10**0.0001 - 1
_MANY = 1 << 17
Floats = NDArray[np.float64]


def best_scale(x: Floats, fmt: ElementFormat, *, name: str = "the tensor") -> float:
    """Return the scale s of least ``Σ (x − s · round(x / s))²`` over the whole range where it can lie.

    At the best scale of a symmetric format, s · max is at least the mean magnitude (it is a mean of magnitudes with
    weights that grow with them), and less than twice the largest one (otherwise s / 2 has all values of s that
    matter). This range is searched in steps of 2^(1/48), then twice around the best ones, to 2^(1/12288). Formats
    with exponents do as well at other powers of two times that scale: of those within 0.001 dB, the one nearest 1.
    With more significant bits than about 7, the error is jagged on a finer scale than the first steps, and on few
    values a luckier scale may exist (in tests up to 0.1 dB on 3,000 values).

    Args:
        x: one-dimensional, finite.
        fmt: an element format; not an unsigned integer, which has a zero point beside its scale.
        name: what errors call the tensor.

    Returns:
        The scale, without the format's own; 1 where all values are 0.

    Raises:
        FpsimError: NaN or Inf in ``x``, or no scale is a positive normal number.

    >>> best_scale(np.array([-3.0, 1.0, 7.0, 5.0]), IntFormat(name="int4", bits=4))
    1.0
    """
    if isinstance(fmt, IntFormat) and not fmt.signed:
        raise FpsimError(f"{fmt.name} has a zero point beside its scale; fit it with the scale rule mse")
    if not np.isfinite(x).all():
        raise FpsimError(f"{name} holds NaN or Inf, so it has no scale; repair or skip it")
    if not x.any():
        return 1.0
    # A power of two brings the values near 1, so that no square leaves the range; the quotients stay.
    shift = int(np.frexp(np.abs(x).max())[1])
    near = np.ldexp(x, -shift)
    top = largest(fmt)
    errors = errors_of(near, fmt)
    found = _search(near, top, errors)
    if isinstance(fmt, FloatFormat):
        found = _nearest_one(found, shift, errors, exact=fmt.bits > FEW)
    scale = float(np.ldexp(np.float64(found), shift))
    check(np.array([scale]), name)
    return scale


def _search(x: Floats, top: float, errors: ErrorsAt) -> float:
    magnitudes = np.abs(x)
    low, high = math.log2(magnitudes.mean() / top), math.log2(2 * magnitudes.max() / top)
    step = 1 / (COARSE * min(max(_MANY // x.size, 1), FINER))  # fewer values, whose errors are less smooth: finer
    exponents = np.arange(low - step, high + step, step)
    for _ in range(2):
        best = exponents[np.argsort(errors(np.exp2(exponents)), kind="stable")[:KEPT]]
        around = np.arange(-FINER, FINER + 1) * (step / FINER)
        exponents, step = np.unique(best[:, None] + around), step / FINER
    # Values that are the format's already, times a power of two or so that the largest one is the format's, have exact
    # scales. Of several the smallest wins: a larger one could lose subnormals that the sums do not see.
    exact = np.sort(np.append(np.exp2(np.arange(math.floor(low), math.ceil(high) + 1)), magnitudes.max() / top))
    scales = np.concatenate([exact, np.exp2(exponents)])
    return float(scales[np.argmin(errors(scales))])


def _nearest_one(scale: float, shift: int, errors: ErrorsAt, *, exact: bool) -> float:
    """The multiple of ``scale`` by a power of two that, times 2^shift, is nearest 1 and equally good.

    An error of 0 that is none ``exact``ly stays where it was found.
    """
    away = -round(math.log2(scale) + shift)
    multiples = np.ldexp(scale, np.arange(abs(away) + 1) * (1 if away > 0 else -1))
    found = errors(multiples)
    if found[0] == 0 and not exact:
        return scale
    good = found <= found[0] * (1 + EQUAL)
    return float(multiples[-1 if good.all() else int(np.argmin(good)) - 1])
