"""Between the user's arrays and the backends': NumPy or torch, any float type, any layout."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.codec.protocol import Backend, backend
from fpsim.errors import FpsimError

#: The types that can be rounded, and that results can have.
FLOATS = ("float16", "bfloat16", "float32", "float64")
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


def working(x: Any, *, through_float32: bool = False) -> Working:
    """Return ``x`` as contiguous float32 (from 16 and 32 bits) or float64; converting up is exact.

    Args:
        x: the user's array.
        through_float32: whether float64 is rounded to float32 first, as some libraries do.

    Raises:
        FpsimError: not a floating-point array.
    """
    if through_float32 and is_torch(x):
        x = x.float().to(x.dtype)
    elif through_float32 and isinstance(x, np.ndarray) and x.dtype == np.float64:
        with np.errstate(over="ignore"):
            x = x.astype(np.float32).astype(np.float64)
    if is_torch(x):
        return _working_torch(x)
    if not isinstance(x, np.ndarray):
        raise FpsimError(f"an array or a tensor is needed, not {type(x).__name__}; wrap numbers in numpy.asarray")
    name = x.dtype.name
    if name not in FLOATS:
        raise FpsimError(f"values of type {name} cannot be rounded; convert to one of {', '.join(FLOATS)}")
    width = 64 if name == "float64" else 32
    return Working(np.ascontiguousarray(x, np.float64 if width == 64 else np.float32).reshape(x.shape), width)


def _working_torch(x: Any) -> Working:
    import torch

    if name_of(x.dtype) not in FLOATS:
        raise FpsimError(f"values of type {x.dtype} cannot be rounded; convert to one of {', '.join(FLOATS)}")
    width = 64 if x.dtype == torch.float64 else 32
    return Working(x.detach().to(torch.float64 if width == 64 else torch.float32).contiguous(), width)


def for_backend(data: Any, chosen: Backend) -> Any:
    """Return a working array as the backend's kind, sharing memory on the CPU."""
    if chosen.arrays == "torch":
        import torch

        if is_torch(data):
            return data
        # torch warns of arrays that it must not write to, and refuses a reversed axis, be it of length 1.
        plain = data.reshape(-1).reshape(data.shape)
        return torch.from_numpy(plain if plain.flags.writeable else plain.copy())
    return data.numpy() if is_torch(data) else data


def name_of(dtype: Any) -> str:
    """The name of a NumPy or torch type, ``float32`` for both libraries'."""
    return str(dtype.name) if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")
