"""What a format makes of a tensor at its best: one scale of least squared error, or the blocks' own scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.api import quantize
from fpsim.codec.blocks import block_scales
from fpsim.codec.protocol import backend as named_backend
from fpsim.number import BlockFormat, ElementFormat, Format, IntFormat
from fpsim.number.ordinals import ladder
from fpsim.quant.granularity import last_axis
from fpsim.quant.quantizer import Quantizer
from fpsim.quant.scale_search import best_scale
from fpsim.quant.scales import Scales, fit

#: The ends of a range are rounded products; a value beyond them by no more than this is the one that set the scale.
_SLACK = 2.0**-21
#: Below this size NumPy is done before Numba has compiled.
_SMALL = 1 << 22
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """A tensor in a format.

    Args:
        values: what became of it, float64; of block formats with the blocks' axis last, as in ``reference``.
        reference: the tensor itself, in the same layout.
        scale: the one scale; None for block formats. The format's own is not in it.
        zero_point: of unsigned integers, otherwise None.
        saturated: how many values lay beyond the range at the scale.
        zeroed: how many values other than 0 became 0.
    """

    values: Floats
    reference: Floats
    scale: float | None
    zero_point: float | None
    saturated: int
    zeroed: int


def fitted(x: NDArray[Any], fmt: Format, *, samples: int = 1 << 18, seed: int = 0, name: str = "the tensor") -> Fitted:
    """Round a tensor with the scale that is best for it.

    Args:
        x: any shape, float16 to float64; everything is computed in float64.
        fmt: a format. Blocks run along axis 1 of tensors of four and more axes (input channels), else the last.
        samples: the scale is searched on this many values at most, drawn at random.
        seed: of that draw.
        name: what errors call the tensor.

    Raises:
        FpsimError: NaN or Inf in ``x``; no scale that is a positive normal number.

    >>> from fpsim.number.names import format
    >>> round(fitted(np.array([0.3, -0.7, 0.5]), format("int4")).scale, 9)
    0.1
    """
    wide = np.ascontiguousarray(x, np.float64)
    if isinstance(fmt, BlockFormat):
        axis = 1 if wide.ndim >= 4 else -1
        moved: Floats = last_axis(wide if wide.ndim else wide.reshape(1), axis)
        return _blocks(moved, fmt)
    scales = _scales(_drawn(wide.reshape(-1), samples, seed), fmt, name)
    backend = "numpy" if wide.size < _SMALL else None
    values: Floats = Quantizer(fmt, scales=scales, backend=backend, name=name)(wide)
    scale = float(scales.scale[0])
    zero = None if scales.zero_point is None else float(scales.zero_point[0])
    low, high = _ends(fmt, zero or 0.0)
    return Fitted(
        values=values,
        reference=wide,
        scale=scale,
        zero_point=zero,
        saturated=_beyond(wide, low * scale, high * scale),
        zeroed=_zeroed(wide, values),
    )


def _drawn(x: Floats, samples: int, seed: int) -> Floats:
    if x.size <= samples:
        return x
    return x[np.random.default_rng(seed).choice(x.size, samples, replace=False, shuffle=False)]


def _scales(x: Floats, fmt: ElementFormat, name: str) -> Scales:
    if isinstance(fmt, IntFormat) and not fmt.signed:
        return fit(x[None], fmt, "mse", name=name)
    return Scales(np.array([best_scale(x, fmt, name=name)]))


def _ends(fmt: ElementFormat, zero_point: float = 0.0) -> tuple[float, float]:
    """The lowest and the highest value, the format's own scale included."""
    steps, own = ladder(fmt.grid), fmt.scale(64)
    low, high = (float(steps.value(steps.ordinals[i])) for i in (0, -1))
    return (low - zero_point) * own, (high - zero_point) * own


def _blocks(x: Floats, fmt: BlockFormat) -> Fitted:
    values: Floats = quantize(x, fmt, backend="numpy" if x.size < _SMALL else None)
    saturated = 0
    if x.size:
        rows = x.reshape(-1, x.shape[-1])
        scales, whole = block_scales(rows, fmt, named_backend("numpy"))
        each = np.repeat(scales * whole, fmt.block, axis=1)[:, : rows.shape[1]]
        low, high = _ends(fmt.element)
        saturated = _beyond(rows, low * each, high * each)
    return Fitted(
        values=values, reference=x, scale=None, zero_point=None, saturated=saturated, zeroed=_zeroed(x, values)
    )


def _beyond(x: Floats, low: Any, high: Any) -> int:
    with np.errstate(over="ignore"):  # an end beyond float64 is beyond all values
        outside = (x > high + np.abs(high) * _SLACK) | (x < low - np.abs(low) * _SLACK)
    return int(np.count_nonzero(outside))


def _zeroed(x: Floats, values: Floats) -> int:
    return int(np.count_nonzero((x != 0) & (values == 0)))
