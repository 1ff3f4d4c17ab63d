"""Block scales as integers: E8M0 powers of two of the MX types, E4M3 without sign of NVFP4."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.tensorcore import operands
from fpsim.tensorcore.operands import Operand
from fpsim.tensorcore.scale_types import block_of


def split(scale: Any, of: Operand, name: str, what: str, axis: int) -> tuple[Operand, Operand]:
    """Return the scaled operand, NaN where its scale is NaN, and its scales as integers.

    Args:
        scale: the scales, along ``axis`` one for each block of ``of``.
        of: the scaled operand.
        name: its type.
        what: the scales' name in errors.
        axis: the axis along which blocks run, 0 or 1.

    Raises:
        FpsimError: scales are missing or misshapen, or the scale format does not hold one.
    """
    block = block_of(name)
    if scale is None:
        raise FpsimError(f"{name} has a scale for each {block} elements of K; give {what}")
    values = operands.as_float32(scale, what)
    shape = list(of.significand.shape)
    shape[axis] //= block
    if list(values.shape) != shape:
        raise FpsimError(f"{what} has shape {values.shape}; {name} has a scale for each {block} of K: {tuple(shape)}")
    result = _ue4m3(values, what) if name == "nvfp4" else _e8m0(values, what)
    nan = np.isnan(values)
    if nan.any():
        special = np.zeros_like(of.significand, np.int8) if of.special is None else of.special
        of = replace(of, special=np.where(np.repeat(nan, block, axis), np.int8(2), special))
    return of, replace(result, special=None)


def _e8m0(values: NDArray[np.float32], what: str) -> Operand:
    nan = np.isnan(values)
    fraction, exponent = np.frexp(np.where(nan, np.float32(1), values))
    wrong = (fraction != 0.5) | (exponent - 1 < -127) | (exponent - 1 > 127)
    if wrong.any():
        operands.refuse(values, wrong, what, "e8m0")
    ones = np.ones_like(exponent, np.int32)
    return Operand(significand=ones, exponent=(exponent - 1).astype(np.int32), fraction_bits=0, special=None)


def _ue4m3(values: NDArray[np.float32], what: str) -> Operand:
    if (wrong := np.signbit(values) & ~np.isnan(values)).any():
        operands.refuse(values, wrong, what, "the scale format E4M3 without sign")
    return operands.split(values, "e4m3", what)
