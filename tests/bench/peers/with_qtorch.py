"""qtorch (QPyTorch): ties away from zero; every code is finite. It compiles its C++ when it is imported."""

from __future__ import annotations

from qtorch.quant import float_quantize

from peers.case import BITS, Case, version

NAME = version("qtorch")


def cases() -> list[Case]:
    return [
        Case(
            peer=NAME,
            call="float_quantize, nearest",
            fmt=fmt,
            make=lambda x, e=exponent, m=mantissa: lambda: float_quantize(x, exp=e, man=m, rounding="nearest"),
            tensors=True,
        )
        for fmt, (exponent, mantissa) in BITS.items()
    ]
