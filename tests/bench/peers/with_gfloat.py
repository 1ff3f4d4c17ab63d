"""gfloat: array functions on NumPy or torch, and blocks by a scalar loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gfloat
import numpy as np
from gfloat.formats import (
    format_info_mxfp4_e2m1,
    format_info_ocp_e2m1,
    format_info_ocp_e4m3,
    format_info_ocp_e5m2,
)
from gfloat.types import Domain, FormatInfo

from peers.case import DECODE, ENCODE, Case, to_numpy, version
from peers.with_torch import compiled

E3M4 = FormatInfo(
    "e3m4",
    8,
    5,
    bias=3,
    is_signed=True,
    domain=Domain.Finite,
    has_nz=True,
    num_high_nans=0,
    has_subnormals=True,
    is_twos_complement=False,
)
FORMATS = {"e4m3": format_info_ocp_e4m3, "e5m2": format_info_ocp_e5m2, "e2m1": format_info_ocp_e2m1, "e3m4": E3M4}
NAME = version("gfloat")


def rounded(x: Any, info: FormatInfo) -> Any:
    return gfloat.round_ndarray(info, x, sat=True)


def fused(x: Any, info: FormatInfo) -> Callable[[], Any]:
    run = compiled((NAME, info.name), lambda v: gfloat.round_ndarray(info, v, sat=True))
    return lambda: run(x)


def decode(x: np.ndarray, info: FormatInfo) -> Callable[[], Any]:
    codes = gfloat.encode_ndarray(info, rounded(x, info))
    return lambda: gfloat.decode_ndarray(info, codes)


def by_blocks(x: np.ndarray) -> Callable[[], np.ndarray]:
    info = format_info_mxfp4_e2m1
    rows = x.reshape(-1, info.k)
    return lambda: np.concatenate([gfloat.quantize_block(info, row, gfloat.compute_scale_amax) for row in rows])


def values(result: np.ndarray) -> np.ndarray:
    return to_numpy(result).astype(np.float32)


def codes(result: np.ndarray) -> np.ndarray:
    return to_numpy(result).astype(np.uint8)


def cases() -> list[Case]:
    found = [Case(peer=NAME, call="quantize_block a block", fmt="mxfp4", make=by_blocks, read=values)]
    for fmt, info in FORMATS.items():
        common: dict[str, Any] = {"peer": NAME, "fmt": fmt}
        found += [
            Case(call="round_ndarray, NumPy", make=lambda x, i=info: lambda: rounded(x, i), read=values, **common),
            Case(
                call="round_ndarray, compiled",
                make=lambda x, i=info: fused(x, i),
                tensors=True,
                compiled=True,
                **common,
            ),
            Case(
                call="round_, encode_ndarray",
                make=lambda x, i=info: lambda: gfloat.encode_ndarray(i, rounded(x, i)),
                kind=ENCODE,
                read=codes,
                **common,
            ),
            Case(call="decode_ndarray", make=lambda x, i=info: decode(x, i), kind=DECODE, read=values, **common),
        ]
    return found
