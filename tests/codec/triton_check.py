"""Compares the Triton backend with NumPy over formats, modes and scales; prints the cases and the failures."""

from __future__ import annotations

import sys

import numpy as np
import torch

import fpsim
from fpsim.codec.protocol import backend
from fpsim.number import ElementFormat
from fpsim.number.conversion import Conversion, NanPolicy, Overflow, Rounding
from fpsim.number.exact import check

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FORMATS = [
    *("e4m3", "e5m2", "e2m1", "e3m0", "e4m3-fnuz", "bfloat16", "int8", "nf4", "binary8p4se"),
    fpsim.format("e3m4", bias=6.37),
    fpsim.format("e4m3", subnormals=False),
]


def inputs(dtype: torch.dtype) -> torch.Tensor:
    """Numbers over many binades, special ones and the edge of E4M3 first."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1500, dtype=dtype, generator=generator) * torch.exp(4 * torch.randn(1500, generator=generator))
    x[:8] = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e30, 464.0, -464.0001])
    return x


def differ(actual: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether two arrays differ in a bit, other than of NaN."""
    kind = f"u{actual.dtype.itemsize}"
    return bool((~((actual.view(kind) == wanted.view(kind)) | (np.isnan(actual) & np.isnan(wanted)))).any())


def arrays() -> tuple[int, int]:
    """Cases and failures of whole arrays through ``fpsim.quantize``."""
    cases = wrong = 0
    for dtype in (torch.float32, torch.float64):
        x = inputs(dtype)
        for name in FORMATS:
            for how in conversions(fpsim.format(name)):
                policies = {"rounding": how.rounding, "overflow": how.overflow, "nan": how.nan}
                if not how.deterministic:
                    policies |= {"seed": how.seed, "random_bits": how.random_bits}
                wanted = fpsim.quantize(x.numpy(), name, backend="numpy", **policies)
                actual = fpsim.quantize(x.to(DEVICE), name, backend="triton", **policies).cpu().numpy()
                cases, wrong = cases + 1, wrong + differ(actual, wanted)
    return cases, wrong


def conversions(fmt: ElementFormat) -> list[Conversion]:
    """Every mode and policy that a format has codes for."""
    found = []
    for mode in Rounding:
        for overflow in Overflow:
            how = Conversion(rounding=mode, overflow=overflow, nan=NanPolicy.MAX, random_bits=11, seed=3)
            try:
                check(fmt, how)
            except fpsim.FpsimError:
                continue
            found.append(how)
    return found


def rows() -> tuple[int, int]:
    """Cases and failures of rows with scales of every shape, and zero points."""
    cases = wrong = 0
    triton, numpy, generator = backend("triton"), backend("numpy"), torch.Generator().manual_seed(1)
    x = torch.randn(7, 50, generator=generator)
    for mode in ("ties-to-even", "stochastic"):
        for name in ("e4m3", "uint8"):
            for shape in ((7, 1), (1, 50), (7, 50), (1, 1)):
                scale = torch.rand(shape, generator=generator) + 0.1
                zero = torch.round(torch.rand(shape, generator=generator) * 255) if name == "uint8" else None
                how, fmt, wanted = Conversion(rounding=mode, seed=9), fpsim.format(name), np.empty((7, 50), "f4")
                numpy.quantize(x.numpy(), fmt, scale.numpy(), wanted, None if zero is None else zero.numpy(), how)
                actual = torch.empty_like(x, device=DEVICE)
                moved = None if zero is None else zero.to(DEVICE)
                triton.quantize(x.to(DEVICE), fmt, scale.to(DEVICE), actual, moved, how)
                cases, wrong = cases + 1, wrong + differ(actual.cpu().numpy(), wanted)
    return cases, wrong


if __name__ == "__main__":
    first, second = arrays(), rows()
    print(first[0] + second[0], first[1] + second[1])
    sys.exit(0)
