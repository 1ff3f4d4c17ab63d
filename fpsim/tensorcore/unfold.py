"""An image's patches as the rows of a matrix, in pieces: the implicit matrix product of a convolution."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: Values of one piece of the matrix, unless a single line of an image has more: 64 MiB.
LARGEST_PIECE = 1 << 24


def padding(given: int | str | tuple[int, ...], kernel: tuple[int, int], dilation: tuple[int, int]) -> list[list[int]]:
    """Return the zeros (before, after) each of two axes, from torch's ``padding``.

    >>> padding("same", (3, 2), (1, 1))
    [[1, 1], [0, 1]]
    """
    if given == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return [[each // 2, each - each // 2] for each in total]
    if isinstance(given, str):
        return [[0, 0], [0, 0]]
    return [[each, each] for each in pair(given)]


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """Return the two numbers of torch's one or two."""
    if isinstance(value, int):
        return value, value
    return int(value[0]), int(value[-1])


def windows(
    images: Floats,
    pads: list[list[int]],
    filler: float | NDArray[np.int64],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> Floats:
    """Return a view of what each output pixel sees.

    Args:
        images: ``[B, H, W, C]``.
        pads: from :func:`padding`.
        filler: what lies outside the image, or ``[1]`` or ``[B]`` for each image.
        kernel, stride, dilation: of both axes.

    Returns:
        ``[B, out height, out width, kh, kw, C]``.
    """
    if any(map(any, pads)):
        images = _padded(images, pads, np.reshape(filler, (-1, 1, 1, 1)))
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    every = np.lib.stride_tricks.sliding_window_view(images, reach, (1, 2))[:, :: stride[0], :: stride[1]]
    view: Floats = every[..., :: dilation[0], :: dilation[1]].transpose(0, 1, 2, 4, 5, 3)
    return view


def _padded(images: Floats, pads: list[list[int]], filler: NDArray[np.generic]) -> Floats:
    (top, bottom), (left, right) = pads
    count, height, width, channels = images.shape
    whole = np.empty((count, top + height + bottom, left + width + right, channels), images.dtype)
    whole[:] = filler
    whole[:, top : top + height, left : left + width] = images
    return whole


def pieces(images: int, lines: int, values: int) -> Iterator[tuple[slice, slice]]:
    """Yield slices of images and of output lines that keep each piece small.

    Args:
        images: how many.
        lines: output lines an image.
        values: of the matrix, a line.

    >>> list(pieces(2, 4, LARGEST_PIECE // 2))[:2]
    [(slice(0, 1, None), slice(0, 2, None)), (slice(0, 1, None), slice(2, 4, None))]
    """
    together, at_once = LARGEST_PIECE // max(1, values * lines), max(1, LARGEST_PIECE // max(1, values))
    if together:
        yield from ((slice(i, min(i + together, images)), slice(0, lines)) for i in range(0, images, together))
        return
    for i in range(images):
        yield from ((slice(i, i + 1), slice(j, min(j + at_once, lines))) for j in range(0, lines, at_once))
