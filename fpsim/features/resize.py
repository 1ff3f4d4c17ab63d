"""From uint8 images to the input of a feature network: the resize decides FID's digits, so it has a name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fpsim.errors import FpsimError

#: Side of the images that Inception takes.
SIDE = 299


def prepare(images: NDArray[np.uint8], rule: str) -> torch.Tensor:
    """Images as a feature network takes them.

    Args:
        images: uint8 [N, H, W, C], C of 1 (shown to the network as grey RGB) or 3.
        rule: a key of :data:`RULES`.

    Returns:
        float32 [N, 3, H', W'], (value − 128) / 128, so between −1 and 0.9921875; H' = W' = 299 unless the rule is
        ``none``.

    Raises:
        FpsimError: another number of channels, or no such rule.
    """
    if rule not in RULES:
        raise FpsimError(f"there is no resize rule {rule!r}; give one of {', '.join(RULES)}")
    return (RULES[rule](as_rgb(images)) - 128.0) / 128.0


def as_rgb(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey images with their channel three times, RGB images as they are.

    Raises:
        FpsimError: neither one nor three channels.
    """
    if images.shape[-1] not in (1, 3):
        raise FpsimError(f"images of {images.shape[-1]} channels were given: feature networks take 1 (grey) or 3 (RGB)")
    return images if images.shape[-1] == 3 else np.repeat(images, 3, axis=-1)


def tf1_bilinear(images: NDArray[np.uint8], side: int = SIDE) -> torch.Tensor:
    """TensorFlow 1's ``resize_bilinear``: corners not aligned, no half-pixel shift, no antialias, in float32.

    Pixel i of the result lies at i · (old size / new size) of the source; the last row and column repeat.

    Args:
        images: uint8 [N, H, W, 3].
        side: new height and width.

    Returns:
        float32 [N, 3, side, side], values 0 to 255 that are not rounded.
    """
    x = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(torch.float32)
    y0, y1, dy = _places(x.shape[2], side)
    x0, x1, dx = _places(x.shape[3], side)
    # TensorFlow's order of operations: along each of the two rows first, then between them.
    left, right = x[..., x0], x[..., x1]
    rows = left + (right - left) * dx
    top, bottom = rows[:, :, y0], rows[:, :, y1]
    return top + (bottom - top) * dy[:, None]


def _places(old: int, new: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each new index: the source index below, the one above and the fraction between them."""
    where = np.arange(new, dtype=np.float32) * np.float32(old / new)
    below = np.floor(where).astype(np.int64)
    above = np.minimum(below + 1, old - 1)
    return torch.from_numpy(below), torch.from_numpy(above), torch.from_numpy(where - below.astype(np.float32))


def clean_bicubic(images: NDArray[np.uint8], side: int = SIDE) -> torch.Tensor:
    """clean-fid's rule: each channel as float32 through Pillow's bicubic filter, which has antialias.

    Args:
        images: uint8 [N, H, W, 3].
        side: new height and width.

    Returns:
        float32 [N, 3, side, side]; clipped to 0 to 255, not rounded.

    Raises:
        FpsimError: Pillow is not installed.

    Source:
        G. Parmar, R. Zhang, J.-Y. Zhu, On Aliased Resizing and Surprising Subtleties in GAN Evaluation, CVPR 2022.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise FpsimError("the resize rule clean-bicubic needs Pillow; pip install 'fpsim[plot]' brings it") from None

    def one(channel: NDArray[np.uint8]) -> NDArray[Any]:
        return np.asarray(Image.fromarray(channel.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))

    planes = np.stack([np.stack([one(image[..., c]) for c in range(3)]) for image in images])
    return torch.from_numpy(np.clip(planes, 0.0, 255.0))


def unchanged(images: NDArray[np.uint8]) -> torch.Tensor:
    """No resize: for networks that take images of any size.

    Args:
        images: uint8 [N, H, W, 3].

    Returns:
        float32 [N, 3, H, W].
    """
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(torch.float32)


#: Resize rules by the name that every score records.
RULES: dict[str, Callable[[NDArray[np.uint8]], torch.Tensor]] = {
    "tf1-bilinear": tf1_bilinear,
    "clean-bicubic": clean_bicubic,
    "none": unchanged,
}
