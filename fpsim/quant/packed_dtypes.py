"""Between the bytes of a safetensors file and arrays: NumPy or torch, and float32 or float64 to compute in."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec import results
from fpsim.errors import FpsimError
from fpsim.number.exact import BFLOAT16

#: The floating-point types that are quantized, by safetensors' names.
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_PLAIN = {
    **{"BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32", "I32": "int32"},
    **{"U64": "uint64", "I64": "int64", "F16": "float16", "F32": "float32", "F64": "float64", "C64": "complex64"},
}
#: Types that NumPy has from ml_dtypes, under the names of ml_dtypes and torch.
_EXTRA = {
    **{"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu"},
    **{"F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz"},
}
_CODES = {name: code for code, name in (_PLAIN | _EXTRA).items()}
_LARGEST = np.float32(float(BFLOAT16.max))


def working(raw: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return floating-point values in the width that they are rounded in, float32 or float64; this is exact.

    Args:
        raw: the bytes.
        dtype: one of ``FLOATS``.
        shape: of the result.
    """
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    values = raw.view(np.dtype(FLOATS[dtype]).newbyteorder("<"))
    return np.ascontiguousarray(values, np.float64 if dtype == "F64" else np.float32).reshape(shape)


def stored(values: NDArray[Any], dtype: str) -> NDArray[np.uint8]:
    """Return results in their own type as bytes, exactly as :class:`fpsim.Quantizer` narrows them.

    Args:
        values: float32 or float64.
        dtype: one of ``FLOATS``.
    """
    if dtype != "BF16":
        narrowed = results.finish(values, np.empty(0, FLOATS[dtype]), None)
        little: NDArray[Any] = np.ascontiguousarray(narrowed, narrowed.dtype.newbyteorder("<"))
        raw: NDArray[np.uint8] = little.reshape(-1).view(np.uint8)
        return raw
    bits = np.clip(values, -_LARGEST, _LARGEST).reshape(-1).view(np.uint32)
    upper = bits >> 16
    rounded = (bits + (0x7FFF + (upper & 1))) >> 16  # to nearest, ties to even
    narrow: NDArray[np.uint16] = np.where(np.isnan(values.reshape(-1)), upper | 0x40, rounded).astype("<u2")
    return narrow.view(np.uint8)


def as_numpy(raw: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return bytes as a NumPy array.

    Raises:
        FpsimError: NumPy has no such type.
    """
    if dtype in _PLAIN:
        plain: NDArray[Any] = raw.view(np.dtype(_PLAIN[dtype]).newbyteorder("<")).reshape(shape)
        return plain
    if dtype in _EXTRA:
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise FpsimError(
                f"NumPy has no {_EXTRA[dtype]} of its own; install ml_dtypes, or load with framework='torch'"
            ) from None
        extra: NDArray[Any] = raw.view(np.dtype(getattr(ml_dtypes, _EXTRA[dtype]))).reshape(shape)
        return extra
    raise FpsimError(f"NumPy has no type for safetensors' {dtype}; leave the tensor out of the file")


def as_torch(raw: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> Any:
    """Return bytes as a torch tensor.

    Raises:
        FpsimError: torch is not installed, or has no such type.
    """
    try:
        import torch
    except ModuleNotFoundError:
        raise FpsimError("framework='torch' needs torch; pip install 'fpsim[models]' brings it") from None
    kind = getattr(torch, {**_PLAIN, **_EXTRA}.get(dtype, ""), None)
    if kind is None:
        raise FpsimError(f"torch has no type for safetensors' {dtype}; leave the tensor out of the file")
    return torch.from_numpy(raw).view(kind).reshape(shape)


def of_array(x: Any, name: str) -> tuple[str, tuple[int, ...], NDArray[np.uint8]]:
    """Return safetensors' type, the shape and the bytes of a NumPy array or a torch tensor.

    Raises:
        FpsimError: it is neither, or of a type that safetensors lacks.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        kind = str(x.dtype).removeprefix("torch.")
        if kind in _CODES:
            flat = x.detach().cpu().contiguous().reshape(-1)
            return _CODES[kind], tuple(x.shape), flat.view(torch.uint8).numpy()
    elif isinstance(x, np.ndarray):
        kind = x.dtype.name
        if kind in _CODES:
            little = np.ascontiguousarray(x, x.dtype.newbyteorder("<") if kind in _PLAIN.values() else x.dtype)
            return _CODES[kind], x.shape, little.reshape(-1).view(np.uint8)
    else:
        kind = type(x).__name__
    raise FpsimError(f"tensor {name!r} of type {kind} cannot be stored; give NumPy arrays or torch tensors of numbers")
