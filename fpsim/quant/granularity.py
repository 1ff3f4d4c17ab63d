"""Which values of a tensor share a scale, and the two-dimensional views in which backends see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fpsim.errors import FpsimError


@dataclass(frozen=True, slots=True)
class PerTensor:
    """One scale for all values: ``[A, B]`` -> scale ``[1]``."""

    def __str__(self) -> str:
        return "tensor"


@dataclass(frozen=True, slots=True)
class PerChannel:
    """One scale an index of an axis: ``[A, B, C]``, axis 1 -> scale ``[B]``. Axis 0 of activations is per sample."""

    axis: int = 0

    def __str__(self) -> str:
        return "channel"


@dataclass(frozen=True, slots=True)
class PerBlock:
    """One scale a run of ``size`` values along an axis: ``[A, B]``, axis −1 -> scale ``[A, ceil(B / size)]``."""

    size: int
    axis: int = -1

    def __post_init__(self) -> None:
        if self.size < 2:
            raise FpsimError(f"block size {self.size}: a block needs at least 2 values")

    def __str__(self) -> str:
        return f"block:{self.size}"


Granularity = PerTensor | PerChannel | PerBlock


def parse(text: str) -> Granularity:
    """Return the granularity of ``tensor``, ``channel`` or ``block:N``.

    Raises:
        FpsimError: another text.

    >>> parse("block:32")
    PerBlock(size=32, axis=-1)
    """
    kind, _, size = text.partition(":")
    if kind == "block" and size.isdecimal() and len(size) < 10:  # Python refuses to read integers of 4300 digits
        return PerBlock(int(size))
    if not size and kind in ("tensor", "channel"):
        return PerTensor() if kind == "tensor" else PerChannel()
    raise FpsimError(f"granularity {text!r} is not one of tensor, channel, block:N (such as block:32)")


def groups(x: Any, granularity: PerTensor | PerChannel) -> Any:
    """Return ``x``, a NumPy array or torch tensor, as ``[groups, values]``, C-contiguous: each row shares a scale."""
    if isinstance(granularity, PerTensor):
        return x.reshape(1, _size(x))
    axis = _axis(x, granularity.axis)
    others = _prod(x.shape[:axis]) * _prod(x.shape[axis + 1 :])  # not −1, which an empty tensor leaves open
    return _contiguous(_move(x, axis, 0)).reshape(x.shape[axis], others)


def count(x: Any, granularity: PerTensor | PerChannel) -> int:
    """Return how many scales a tensor has."""
    return 1 if isinstance(granularity, PerTensor) else int(x.shape[_axis(x, granularity.axis)])


def as_rows(x: Any, granularity: PerTensor | PerChannel) -> tuple[tuple[int, int], Any]:
    """Return the two-dimensional shape in which a contiguous ``x`` is rounded, and how scales must be laid out for it.

    The second value maps scales ``[groups]`` (a one-dimensional array or tensor) to ``[rows or 1, columns or 1]``.
    """
    if isinstance(granularity, PerTensor):
        return (1, _size(x)), lambda scales: scales.reshape(1, 1)
    axis = _axis(x, granularity.axis)
    before, channels, after = _prod(x.shape[:axis]), x.shape[axis], _prod(x.shape[axis + 1 :])
    if after == 1:
        return (before, channels), lambda scales: scales.reshape(1, -1)
    return (before * channels, after), lambda scales: _repeat(scales, before).reshape(-1, 1)


def _axis(x: Any, axis: int) -> int:
    if not -x.ndim <= axis < x.ndim:
        raise FpsimError(f"axis {axis} does not exist in a tensor of shape {tuple(x.shape)}")
    return axis % int(x.ndim)


def _prod(shape: Any) -> int:
    result = 1
    for length in shape:
        result *= int(length)
    return result


def _size(x: Any) -> int:
    return _prod(x.shape)


def _move(x: Any, source: int, target: int) -> Any:
    if hasattr(x, "movedim"):
        return x.movedim(source, target)
    import numpy as np

    return np.moveaxis(x, source, target)


def _contiguous(x: Any) -> Any:
    if hasattr(x, "contiguous"):
        return x.contiguous()
    import numpy as np

    return np.ascontiguousarray(x)


def _repeat(scales: Any, times: int) -> Any:
    if times == 1:
        return scales
    if hasattr(scales, "repeat_interleave"):
        return scales.repeat(times)
    import numpy as np

    return np.tile(scales, times)


def last_axis(x: Any, axis: int) -> Any:
    """Return ``x`` with an axis moved to the end, C-contiguous (blocks run along it)."""
    return _contiguous(_move(x, _axis(x, axis), -1))


def back(x: Any, axis: int) -> Any:
    """Undo :func:`last_axis`."""
    return _contiguous(_move(x, -1, axis % int(x.ndim)))
