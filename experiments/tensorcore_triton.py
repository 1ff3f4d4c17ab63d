"""``tl.dot`` of one instruction, through Triton: the compiler's own way to the matrix unit.

Imported only where Triton is installed; the kernel compiles without a GPU, a call needs one.
"""

from __future__ import annotations

import numpy as np
import tensorcore_codes as codes
import torch
import triton
import triton.language as tl
from tensorcore_mma import Mma, Tiles, Words

#: Operand types; the compiler rounds tf32 operands on its own.
TYPES = {
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "e4m3": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
    "int8": torch.int8,
}


@triton.jit
def one_dot(a, b, c, d, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    """One program, one tile: a [M, K] x b [N, K] transposed + c [M, N]."""
    tile = tl.program_id(0)
    rows, columns, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x = tl.load(a + tile * M * K + rows[:, None] * K + k[None, :])
    y = tl.load(b + tile * N * K + columns[None, :] * K + k[:, None])
    place = tile * M * N + rows[:, None] * N + columns[None, :]
    tl.store(d + place, tl.dot(x, y, tl.load(c + place)))


def run(mma: Mma, tiles: Tiles) -> Words:
    """Return what the GPU makes of tiles of 64 x 16 outputs, uint32 [n, M, N].

    Args:
        mma: with ``n`` 16 and an fp32 or int32 accumulator.
        tiles: its inputs.
    """
    kind = {"int32": torch.int32, "fp32": torch.float32}[mma.accumulator]
    sides = [_tensor(x, TYPES[name]) for x, name in ((tiles.a, mma.a), (tiles.b, mma.b))]
    c = torch.from_numpy(tiles.c.view(np.int32)).cuda().view(kind)
    d = torch.empty_like(c)
    one_dot[(len(tiles.a),)](*sides, c, d, M=mma.m, N=mma.n, K=mma.k, num_warps=4)
    return d.view(torch.int32).cpu().numpy().view(np.uint32)


def _tensor(bits: codes.Bits, kind: torch.dtype) -> torch.Tensor:
    signed = bits.view(np.int16) if bits.itemsize == 2 else bits
    return torch.from_numpy(np.ascontiguousarray(signed)).cuda().view(kind)
