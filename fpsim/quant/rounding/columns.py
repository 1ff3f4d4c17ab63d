"""A layer's input as the columns that its weight multiplies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

#: Bytes of columns that are made at once.
CHUNK_BYTES = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """How a layer meets its input: Y = W X for the matrix X of columns.

    Args:
        kernel, stride, dilation: (height, width); of a linear layer the kernel is None.
        pads: left, right, top, bottom, as :func:`torch.nn.functional.pad` takes them.
        mode: of the padding, in the words of that function.
        groups: of input channels.
        axes: how many axes of positions the layer's own input has, 0 to 2.
    """

    kernel: tuple[int, int] | None = None
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    mode: str = "constant"
    groups: int = 1
    axes: int = 0


def geometry(module: nn.Module) -> Geometry | None:
    """Return the geometry of a linear layer or of a convolution over one or two axes; None for other modules."""
    if isinstance(module, nn.Linear):
        return Geometry()
    if not isinstance(module, nn.Conv1d | nn.Conv2d):
        return None
    flat = isinstance(module, nn.Conv1d)  # a picture of one row
    pads = tuple(int(p) for p in module._reversed_padding_repeated_twice)

    def two(value: Any, filler: int) -> tuple[int, int]:
        return (filler, int(value[0])) if flat else (int(value[0]), int(value[1]))

    return Geometry(
        kernel=two(module.kernel_size, 1),
        stride=two(module.stride, 1),
        dilation=two(module.dilation, 1),
        pads=(*pads, 0, 0) if flat else pads,
        mode="constant" if module.padding_mode == "zeros" else module.padding_mode,
        groups=module.groups,
        axes=1 if flat else 2,
    )


def as_matrices(weight: Tensor, groups: int) -> Tensor:
    """Return a weight as ``[groups, outputs of a group, K]``, the matrices that multiply the columns."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def columns(x: Tensor, how: Geometry) -> Iterator[Tensor]:
    """Yield the columns of an input, ``[groups, K, positions]``, a few samples at a time.

    Args:
        x: the layer's input; a linear layer's ``[…, K]``, otherwise ``[N, C, H, W]`` or without some of the axes that
            the module also takes (no batch; one axis).
        how: the layer's geometry.
    """
    if how.kernel is None:
        rows = x.reshape(-1, x.shape[-1])
        size = max(1, CHUNK_BYTES // max(1, rows.shape[1] * rows.element_size()))
        for start in range(0, len(rows), size):
            yield rows[start : start + size].T.unsqueeze(0)
        return
    pictures = _pictures(x, how)
    each = how.kernel[0] * how.kernel[1] * pictures[0].numel() * pictures.element_size() if len(pictures) else 1
    size = max(1, CHUNK_BYTES // max(1, each))
    for start in range(0, len(pictures), size):
        some = pictures[start : start + size]
        if any(how.pads):
            some = F.pad(some, how.pads, mode=how.mode)
        unfolded = F.unfold(some, how.kernel, dilation=how.dilation, stride=how.stride)
        n, k, positions = unfolded.shape
        grouped = unfolded.reshape(n, how.groups, k // how.groups, positions)
        yield grouped.permute(1, 2, 0, 3).reshape(how.groups, k // how.groups, n * positions)


def _pictures(x: Tensor, how: Geometry) -> Tensor:
    """The input as ``[N, C, H, W]``."""
    if how.axes == 1:
        x = x.unsqueeze(-2)
    return x if x.ndim == 4 else x.unsqueeze(0)
