"""Formats, types and shapes that the tests of packed files share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import fpsim
from fpsim import PerBlock, PerChannel, PerTensor

#: Every kind of element and of scale, code widths of 4, 5, 6, 7, 8 and 16 bits.
FORMATS: dict[str, Any] = {
    "e4m3": "e4m3",
    "e5m2": "e5m2",
    "e2m1": "e2m1",
    "e3m2": "e3m2",
    "e2m2": "e2m2",
    "e4m3-fnuz": "e4m3-fnuz",
    "bfloat16": "bfloat16",
    "e3m4-bias-6.37": fpsim.format("e3m4", bias=6.37),
    "int4": "int4",
    "int7": "int7",
    "int8-full": "int8-full",
    "uint4": "uint4",
    "nf4": "nf4",
    "mxfp4": "mxfp4",
    "mxfp6": "mxfp6",
    "mxfp8": "mxfp8",
    "mxint8": "mxint8",
    "nvfp4": "nvfp4",
}
DTYPES = {"F16": np.float16, "BF16": ml_dtypes.bfloat16, "F32": np.float32, "F64": np.float64}
SHAPES = ((5, 7, 3), (3, 35), (1, 1), (2, 3, 2, 17))
GRANULARITIES = (PerTensor(), PerChannel(0), PerChannel(1), PerChannel(-1), PerBlock(4, 1), PerBlock(3))


def values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    """Heavy-tailed numbers whose rows differ in size, one row of zeros and one negative zero among them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(4, shape) * 2.0 ** rng.integers(-6, 3, (shape[0], *[1] * (len(shape) - 1)))
    if shape[0] > 2:
        x[1] = 0
        x.flat[0] = -0.0
    return x.astype(dtype)


def write_raw(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """Write a safetensors file of a header (JSON text, or what becomes it) and data, right or wrong."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    """A tensor of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
