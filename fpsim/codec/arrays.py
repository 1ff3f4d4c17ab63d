"""Between the user's arrays and the backends': NumPy or torch, any float type, any layout."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpsim.codec.protocol import Backend, backend
from fpsim.errors import FpsimError

#: Below this size, and before Numba is loaded, NumPy answers sooner than Numba compiles.
SMALL = 1 << 14


def is_torch(x: Any) -> bool:
    """Whether ``x`` is a torch tensor, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def choose(name: str | None, x: Any) -> Backend:
    """Return the named backend, or the fastest one for the array at hand.

    Raises:
        FpsimError: unknown name, or a NumPy backend for a tensor on an accelerator.
    """
    on_device = is_torch(x) and x.device.type != "cpu"
    if name is None:
        if on_device:
            return backend("torch")
        size = x.numel() if is_torch(x) else x.size
        return backend("numpy" if size < SMALL and "numba" not in sys.modules else "numba")
    chosen = backend(name)
    if on_device and chosen.arrays == "numpy":
        raise FpsimError(f"backend {name!r} works on the CPU; a tensor on {x.device} needs --backend torch")
    return chosen


@dataclass(frozen=True, slots=True)
class Working:
    """An input as a backend takes it: contiguous float32 or float64, and its width."""

    data: Any
    width: int


def working(x: Any) -> Working:
    """Return ``x`` as contiguous float32 (from 16 and 32 bits) or float64; converting up is exact.

    Raises:
        FpsimError: not a floating-point array.
    """
    if is_torch(x):
        return _working_torch(x)
    if not isinstance(x, np.ndarray):
        raise FpsimError(f"an array or a tensor is needed, not {type(x).__name__}; wrap numbers in numpy.asarray")
    name = x.dtype.name
    if name not in ("float16", "bfloat16", "float32", "float64"):
        raise FpsimError(f"values of type {name} cannot be rounded; convert to float16, bfloat16, float32 or float64")
    width = 64 if name == "float64" else 32
    return Working(np.ascontiguousarray(x, np.float64 if width == 64 else np.float32).reshape(x.shape), width)


def _working_torch(x: Any) -> Working:
    import torch

    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise FpsimError(f"values of type {x.dtype} cannot be rounded; convert to float16, bfloat16, float32, float64")
    width = 64 if x.dtype == torch.float64 else 32
    return Working(x.detach().to(torch.float64 if width == 64 else torch.float32).contiguous(), width)


def for_backend(data: Any, chosen: Backend) -> Any:
    """Return a working array as the backend's kind, sharing memory on the CPU."""
    if chosen.arrays == "torch":
        import torch

        return data if is_torch(data) else torch.from_numpy(data)
    return data.numpy() if is_torch(data) else data


def empty_like(data: Any) -> Any:
    """A fresh array of the same kind, shape and type."""
    if is_torch(data):
        import torch

        return torch.empty_like(data)
    return np.empty_like(data)


def finish(y: Any, like: Any, out: Any) -> Any:
    """Return working results in the user's type, shape and kind, in ``out`` if given.

    Narrowing rounds to nearest even; what the type cannot hold becomes its nearest finite value.
    """
    target = like if out is None else out
    if y.dtype == target.dtype:
        if out is None:
            return y
        if out is not y:
            out[...] = y
        return out
    if is_torch(y):
        import torch

        largest = torch.finfo(target.dtype).max
        narrowed = y.clamp(-largest, largest).to(target.dtype)
    else:
        narrowed = _narrowed(y, target.dtype)
    if out is None:
        return narrowed
    out[...] = narrowed
    return out


def _narrowed(y: NDArray[np.floating], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.name == "bfloat16":  # ml_dtypes' type; NumPy's finfo does not know it
        largest = 3.3895313892515355e38
    else:
        largest = float(np.finfo(dtype).max)
    with np.errstate(over="ignore"):
        return np.clip(y, -largest, largest).astype(dtype)
