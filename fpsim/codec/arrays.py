"""Between the user's arrays and the backends': NumPy or torch, any float type, any layout."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpsim.codec.protocol import Backend, backend
from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.number.exact import BFLOAT16, BINARY16, BINARY32

#: The types that can be rounded, and that results can have.
FLOATS = ("float16", "bfloat16", "float32", "float64")
_NARROW = {"float16": BINARY16, "bfloat16": BFLOAT16, "float32": BINARY32}
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
    if through_float32 and "float64" in str(x.dtype):
        narrow = x.float() if is_torch(x) else _narrowed(x)
        return Working(working(narrow.double() if is_torch(x) else narrow.astype(np.float64)).data, 64)
    if is_torch(x):
        return _working_torch(x)
    if not isinstance(x, np.ndarray):
        raise FpsimError(f"an array or a tensor is needed, not {type(x).__name__}; wrap numbers in numpy.asarray")
    name = x.dtype.name
    if name not in FLOATS:
        raise FpsimError(f"values of type {name} cannot be rounded; convert to one of {', '.join(FLOATS)}")
    width = 64 if name == "float64" else 32
    return Working(np.ascontiguousarray(x, np.float64 if width == 64 else np.float32).reshape(x.shape), width)


def _narrowed(x: Any) -> Any:
    with np.errstate(over="ignore"):
        return x.astype(np.float32)


def _working_torch(x: Any) -> Working:
    import torch

    if _name(x.dtype) not in FLOATS:
        raise FpsimError(f"values of type {x.dtype} cannot be rounded; convert to one of {', '.join(FLOATS)}")
    width = 64 if x.dtype == torch.float64 else 32
    return Working(x.detach().to(torch.float64 if width == 64 else torch.float32).contiguous(), width)


def for_backend(data: Any, chosen: Backend) -> Any:
    """Return a working array as the backend's kind, sharing memory on the CPU."""
    if chosen.arrays == "torch":
        import torch

        # torch warns of arrays that it must not write to.
        return data if is_torch(data) else torch.from_numpy(data if data.flags.writeable else data.copy())
    return data.numpy() if is_torch(data) else data


def _name(dtype: Any) -> str:
    """The name of a NumPy or torch type, ``float32`` for both libraries'."""
    return str(dtype.name) if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")


def check_out(x: Any, out: Any) -> None:
    """Accept an array for the results of ``x``.

    Raises:
        FpsimError: another library's array, another shape, or a type that holds no fractions.
    """
    if is_torch(out) is not is_torch(x) or not (is_torch(out) or isinstance(out, np.ndarray)):
        raise FpsimError(f"out is a {type(out).__name__}, but x is a {type(x).__name__}; both must be of one library")
    if tuple(out.shape) != tuple(x.shape):
        raise FpsimError(f"out has shape {tuple(out.shape)}, but x has {tuple(x.shape)}; they must be equal")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise FpsimError("out is read-only; give an array that can be written")
    check_type(x, out.dtype)


def check_type(x: Any, dtype: Any) -> Any:
    """Return the type of results as the library of ``x`` has it.

    Raises:
        FpsimError: no floating-point type of that library.
    """
    found = dtype
    if not is_torch(x):
        try:
            found = np.dtype(dtype)
        except TypeError:
            found = None
    if _name(found) not in FLOATS or (is_torch(x) and not str(dtype).startswith("torch.")):
        library = "torch" if is_torch(x) else "NumPy"
        raise FpsimError(f"out type {dtype} is not one of {library}'s {', '.join(FLOATS)}")
    return found


def usable(out: Any, data: Any) -> bool:
    """Whether a backend can write into the user's array directly: of the working kind, and ``data`` itself or apart."""
    if is_torch(data):
        if out.dtype != data.dtype or out.device != data.device or not out.is_contiguous() or out.requires_grad:
            return False
        apart = abs(out.data_ptr() - data.data_ptr()) >= data.numel() * data.element_size()
        return bool(apart or out.data_ptr() == data.data_ptr())
    if out.dtype != data.dtype or not out.flags.c_contiguous:
        return False
    return out.ctypes.data == data.ctypes.data or not np.may_share_memory(out, data)


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
            return _laid_out(y, like)
        if out is not y:
            out[...] = y
        return out
    narrowed = _converted(y, target.dtype)
    if out is None:
        return _laid_out(narrowed, like)
    out[...] = narrowed
    return out


def _converted(y: Any, dtype: Any) -> Any:
    narrow = _NARROW.get(_name(dtype))
    if narrow is not None:
        if y.dtype.itemsize == 8 and narrow.bits == 16:
            y = _on_grid(y, narrow)
        largest = float(narrow.max)
        y = y.clamp(-largest, largest) if is_torch(y) else np.asarray(np.clip(y, -largest, largest))
    return y.to(dtype) if is_torch(y) else y.astype(dtype)


def _on_grid(y: Any, narrow: FloatFormat) -> Any:
    """float64 values on a 16-bit grid; torch's and ml_dtypes' casts go by way of float32 and would round twice."""
    grid, rows = empty_like(y), y.reshape(1, -1)
    one = y.new_ones((1, 1)) if is_torch(y) else np.ones((1, 1))
    backend("torch" if is_torch(y) else "numpy").quantize(rows, narrow, one, grid.reshape(1, -1))
    return grid


def _laid_out(y: Any, like: Any) -> Any:
    """A torch result in the memory format of its input, which decides how torch computes with it further on."""
    if not is_torch(y) or not is_torch(like) or like.is_contiguous():
        return y
    import torch

    return torch.empty_like(like, dtype=y.dtype).copy_(y)
