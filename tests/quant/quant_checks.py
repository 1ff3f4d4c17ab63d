"""Formats, tensors and plain roundings that the tests of scales share."""

from __future__ import annotations

from typing import Any

import numpy as np

import fpsim
from fpsim.quant.quantizer import effective_scale

SIGNED = ("e2m1", "e4m3", "chen-e3m4", "int4", "int8-full", "nf4", "e3m0", "int8-q6", "e5m2")
REAL_BIAS = fpsim.format("e3m4", bias=6.37)
FORMATS = [*map(fpsim.format, SIGNED), REAL_BIAS, fpsim.format("e3m2", subnormals=False)]
ids = [f"{fmt.name}-{getattr(fmt, 'bias', '')}" for fmt in FORMATS]


def rows(seed: int = 0, shape: tuple[int, int] = (3, 200), dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_t(4, shape).astype(dtype)


def top(fmt: Any) -> float:
    """The largest value, its own scale included."""
    return float(fmt.grid.max) * fmt.scale(64)


def rounded(x: Any, fmt: Any, scale: Any) -> Any:
    """``s · round(x / s)`` with the format's own scale in ``s``, by the codec's unscaled rounding."""
    s = effective_scale(np.asarray([scale], x.dtype), fmt)[0]
    return fpsim.quantize(x / s, fmt.grid, backend="numpy") * s
