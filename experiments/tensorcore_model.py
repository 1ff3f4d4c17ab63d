"""The package's arithmetic once more in torch, for machines with a GPU and without Numba.

The tests hold it equal to fpsim.tensorcore bit for bit, specials included. int64 throughout; nothing is rounded but
where the unit rounds.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fpsim.tensorcore.architecture import FP16_FRACTION_BITS, FP16_LEAST_EXPONENT, FP32_LEAST_EXPONENT, Unit
from fpsim.tensorcore.operands import split
from fpsim.tensorcore.reference import groups

Float32 = NDArray[np.float32]
Terms = tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]
#: Formats of accumulators.
_FORMATS = {"fp32": "binary32", "fp16": "binary16"}


def multiply(
    unit: Unit, types: tuple[str, str], a: Float32, b: Float32, c: Float32, accumulator: str, on: str = "cpu"
) -> Float32:
    """Return the accumulator after all instructions along K, float32 [n, M, N].

    Args:
        unit: the matrix unit, without block scales.
        types: of a and b.
        a: [n, M, K].
        b: [n, N, K], columns.
        c: [n, M, N].
        accumulator: ``fp32`` or ``fp16``.
        on: torch device.
    """
    left = _terms(a[:, :, None], types[0], on)
    right = _terms(b[:, None], types[1], on)
    total = torch.from_numpy(c.copy()).to(on)
    for begin in range(0, a.shape[-1], unit.step):
        value = total if unit.c == "fused" else torch.zeros_like(total)
        for group in groups(unit, unit.step):
            index = torch.tensor([begin + k for k in group], device=on)
            value = _fused(unit, _at(left, index), _at(right, index), value, accumulator)
        total = value if unit.c == "fused" else _plus(total, value, accumulator)
    return total.cpu().numpy()


def _terms(x: Float32, name: str, on: str) -> Terms:
    """Significands, exponents, what specials they are (as numbers 0, ±1, ±Inf, NaN), and fraction bits."""
    found = split(x, name, "operand")
    with np.errstate(invalid="ignore"):
        kind = np.where(np.isfinite(x), np.sign(x), x)
    arrays = (found.significand.astype(np.int64), found.exponent.astype(np.int64), kind.astype(np.float32))
    significand, exponent, special = (torch.from_numpy(array).to(on) for array in arrays)
    return significand, exponent, special, found.fraction_bits


def _at(terms: Terms, index: torch.Tensor) -> Terms:
    significand, exponent, special = (x.index_select(-1, index) for x in terms[:3])
    return significand, exponent, special, terms[3]


def _fused(unit: Unit, left: Terms, right: Terms, c: torch.Tensor, accumulator: str) -> torch.Tensor:
    own = _terms(c.cpu().numpy(), _FORMATS[accumulator], str(c.device))
    products, exponents = left[0] * right[0], left[1] + right[1]
    top = torch.maximum(exponents.amax(-1), own[1]).clamp(min=unit.exponent_floor)
    size = unit.fraction_bits
    total = _aligned(products, exponents - left[3] - right[3] - top[..., None] + size).sum(-1)
    total = total + _aligned(own[0], own[1] - own[3] - top + size)
    special = (left[2] * right[2]).sum(-1) + own[2]
    found = _rounded(total, top - size, unit, accumulator)
    canonical = torch.tensor(0x7FFFFFFF, dtype=torch.int32, device=c.device).view(torch.float32)
    return torch.where(special.isnan(), canonical, torch.where(special.isinf(), special, found))


def _aligned(significand: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Magnitudes shifted, what falls off is cut."""
    size = significand.abs()
    size = torch.where(shift >= 0, size << shift.clamp(0, 62), size >> (-shift).clamp(0, 62))
    return torch.where(significand < 0, -size, size)


def _rounded(total: torch.Tensor, exponent: torch.Tensor, unit: Unit, accumulator: str) -> torch.Tensor:
    half = accumulator == "fp16"
    kept = FP16_FRACTION_BITS if half else unit.result_bits
    least = FP16_LEAST_EXPONENT if half else FP32_LEAST_EXPONENT
    size = total.abs()
    leading = torch.frexp(size.double())[1].long() - 1 + exponent  # exact: sums have fewer than 53 bits
    shift = torch.maximum(leading, torch.full_like(leading, least)) - kept - exponent
    down = shift.clamp(0, 62)
    whole = torch.where(shift > 0, size >> down, size << (-shift).clamp(0, 62))
    if half:
        rest, middle = size - (whole << down), torch.where(shift > 0, 1 << (down - 1).clamp(min=0), size + 1)
        whole = whole + ((rest > middle) | ((rest == middle) & (whole % 2 == 1))).long()
    value = torch.ldexp(whole.double(), (shift + exponent).double())
    value = torch.where(value >= (2.0**16 if half else 2.0**128), torch.inf, value)
    return torch.where(total < 0, -value, value).float()


def _plus(x: torch.Tensor, y: torch.Tensor, accumulator: str) -> torch.Tensor:
    """The IEEE sum, ties to even, with the one NaN that GPUs produce."""
    total = x + y
    if accumulator == "fp16":
        total = total.half().float()
    canonical = torch.tensor(0x7FFFFFFF, dtype=torch.int32, device=x.device).view(torch.float32)
    return torch.where(total.isnan(), canonical, total)
