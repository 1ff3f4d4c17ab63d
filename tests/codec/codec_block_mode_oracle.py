"""Blocks in every rounding mode: the scales of the standards' rules, then the specification of the elements."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from codec_block_oracle import magnitude, power_exponent
from codec_mode_oracle import expected_by_mode
from codec_oracle import differences, expected, oracle

from fpsim.number import BlockFormat, ScaleRule
from fpsim.number.conversion import Conversion

#: What rounds ``[rows, columns]`` in blocks: ``(x, fmt, how) -> y``.
BlockRounder = Callable[[np.ndarray, BlockFormat, Conversion], np.ndarray]


def scales_of(fmt: BlockFormat, x: np.ndarray) -> np.ndarray:
    """Each element's scale; the tensor's is in it. Not for numbers so great that the tensor's overflows."""
    real, each, whole = x.dtype.type, np.empty_like(x), x.dtype.type(1)
    if fmt.tensor_scale and magnitude(x):
        whole = real(magnitude(x) / real(float(fmt.scale.max * fmt.element.max)))
    for row in range(x.shape[0]):
        for start in range(0, x.shape[1], fmt.block):
            part = slice(start, start + fmt.block)
            largest = magnitude(x[row, part])
            if fmt.rule is ScaleRule.MAX:
                ratio = np.array([largest / real(float(fmt.element.max)) / whole], x.dtype)
                smallest = real(min(v for v in oracle(fmt.scale).values if v > 0))
                each[row, part] = max(expected(fmt.scale, ratio)[0], smallest) * whole
            else:
                exponent = power_exponent(fmt, Fraction(float(largest)), 8 * x.dtype.itemsize)
                each[row, part] = np.ldexp(real(1), exponent)
    return each


def expected_blocks(fmt: BlockFormat, x: np.ndarray, how: Conversion) -> np.ndarray:
    """Elements rounded in a mode, the scales as ever; random words follow the index in the whole array."""
    return expected_by_mode(fmt.element, x, how, scales_of(fmt, x))


def block_disagreement(rounder: BlockRounder, fmt: BlockFormat, x: np.ndarray, how: Conversion) -> str:
    """How a rounder of blocks differs from the rules; an empty string where it does not."""
    found = differences(rounder(x, fmt, how), expected_blocks(fmt, x, how), x)
    return f"{fmt.name}, {x.dtype}, {how}: {found}" if found else ""
