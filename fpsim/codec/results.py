"""From a backend's working results to the user's array: its type, layout and memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim.codec.arrays import FLOATS, is_torch, name_of
from fpsim.codec.protocol import backend
from fpsim.errors import FpsimError
from fpsim.number import FloatFormat
from fpsim.number.exact import BFLOAT16, BINARY16, BINARY32

_NARROW = {"float16": BINARY16, "bfloat16": BFLOAT16, "float32": BINARY32}


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
    if name_of(found) not in FLOATS or (is_torch(x) and not str(dtype).startswith("torch.")):
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

    Narrowing rounds to nearest even; a finite value that the type cannot hold becomes its nearest finite value, and
    Inf stays.
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
    narrow = _NARROW.get(name_of(dtype))
    if narrow is not None:
        infinite, before = (y.isinf() if is_torch(y) else np.isinf(y)), y
        if y.dtype.itemsize == 8 and narrow.bits == 16:
            y = _on_grid(y, narrow)
        largest = float(narrow.max)
        y = y.clamp(-largest, largest) if is_torch(y) else np.asarray(np.clip(y, -largest, largest))
        y = before.where(infinite, y) if is_torch(y) else np.where(infinite, before, y)
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
