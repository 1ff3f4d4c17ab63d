"""torchao: tensor subclasses for MXFP4 and NVFP4, and the conversion functions below them for small floats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torchao.prototype.custom_fp_utils import _f32_to_floatx_unpacked, _floatx_unpacked_to_f32
from torchao.prototype.mx_formats.mx_tensor import MXTensor
from torchao.prototype.mx_formats.nvfp4_tensor import NVFP4Tensor, per_tensor_amax_to_scale

from peers.case import BITS, DECODE, ENCODE, Case, to_numpy, version
from peers.with_torch import compiled

NAME = version("torchao")
COLUMNS = 1024


def mx(x: torch.Tensor) -> MXTensor:
    return MXTensor.to_mx(x, torch.float4_e2m1fn_x2, 32)


def nv(x: torch.Tensor) -> NVFP4Tensor:
    return NVFP4Tensor.to_nvfp4(x, per_tensor_scale=per_tensor_amax_to_scale(x.abs().max()))


BLOCKS: dict[str, tuple[str, Callable[[torch.Tensor], Any]]] = {
    "mxfp4": ("to_mx", mx),
    "nvfp4": ("to_nvfp4", nv),
}


def rows(x: torch.Tensor) -> torch.Tensor:
    return x.view(-1, COLUMNS)


def unpacked(result: Any) -> np.ndarray:
    """Two codes of every byte, the first in the low bits."""
    packed = to_numpy(result.qdata.view(torch.uint8))
    return np.stack([packed & 15, packed >> 4], axis=-1).reshape(-1)


def floats(x: torch.Tensor, bits: tuple[int, int], compile_it: bool) -> Callable[[], torch.Tensor]:
    def both(v: torch.Tensor) -> torch.Tensor:
        return _floatx_unpacked_to_f32(_f32_to_floatx_unpacked(v, *bits), *bits)

    run = compiled((NAME, bits), both) if compile_it else both
    return lambda: run(x)


def blocks(x: torch.Tensor, encode: Callable[[torch.Tensor], Any], compile_it: bool) -> Callable[[], torch.Tensor]:
    def both(v: torch.Tensor) -> torch.Tensor:
        return encode(v).dequantize()

    run, values = compiled((NAME, encode), both) if compile_it else both, rows(x)
    return lambda: run(values)


def block_cases(fmt: str) -> list[Case]:
    name, encode = BLOCKS[fmt]
    common: dict[str, Any] = {"peer": NAME, "fmt": fmt, "tensors": True}
    return [
        Case(call=f"{name}, dequantize", make=lambda x: blocks(x, encode, False), **common),
        Case(call=f"{name}, dequantize, compiled", make=lambda x: blocks(x, encode, True), compiled=True, **common),
        Case(call=name, make=lambda x: partial(encode, rows(x)), kind=ENCODE, read=unpacked, **common),
        Case(call="dequantize", make=lambda x: encode(rows(x)).dequantize, kind=DECODE, **common),
    ]


def cases() -> list[Case]:
    found = [case for fmt in BLOCKS for case in block_cases(fmt)]
    for fmt, bits in BITS.items():
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt, "tensors": True}
        found += [
            Case(call="floatx there and back", make=lambda x, b=bits: floats(x, b, False), **common),
            Case(call="floatx, compiled", make=lambda x, b=bits: floats(x, b, True), compiled=True, **common),
        ]
    return found
