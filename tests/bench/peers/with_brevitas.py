"""brevitas: ``QuantIdentity`` with a constant scale of 1 (OCP formats) and as an MX activation quantizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from brevitas.nn import QuantIdentity
from brevitas.quant.float_quant_ocp import FpOCPAct
from brevitas.quant.mx_quant_ocp import MXFloat8e4m3Act

from peers.case import BITS, Case, version
from peers.with_torch import compiled

NAME = version("brevitas")
COLUMNS = 1024


def module(fmt: str) -> QuantIdentity:
    exponent, mantissa = BITS.get(fmt, (2, 1))
    words: dict[str, Any] = {
        "bit_width": 1 + exponent + mantissa,
        "exponent_bit_width": exponent,
        "mantissa_bit_width": mantissa,
    }
    if fmt == "mxfp4":
        base, more = MXFloat8e4m3Act, {"group_dim": 1}
    else:
        base, more = FpOCPAct, {"scaling_impl_type": "const", "scaling_init": 1.0, "restrict_scaling_type": "fp"}
    return QuantIdentity(type("Quantizer", (base,), words | more), return_quant_tensor=False).eval()


def call(x: torch.Tensor, fmt: str, compile_it: bool) -> Callable[[], torch.Tensor]:
    net = module(fmt).to(x.device)
    run = compiled((NAME, fmt, x.device), lambda v: net(v)) if compile_it else net
    values = x.view(-1, COLUMNS) if fmt == "mxfp4" else x

    def timed() -> torch.Tensor:
        with torch.no_grad():
            return run(values)

    return timed


def cases() -> list[Case]:
    return [
        Case(
            peer=NAME,
            call="QuantIdentity, compiled" if compile_it else "QuantIdentity",
            fmt=fmt,
            make=lambda x, f=fmt, c=compile_it: call(x, f, c),
            tensors=True,
            compiled=compile_it,
        )
        for fmt in (*BITS, "mxfp4")
        for compile_it in (False, True)
    ]
