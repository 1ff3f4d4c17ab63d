"""The network of LPIPS: AlexNet's trunk and the learned heads, from one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from fpsim.errors import FpsimError
from fpsim.features.network import NetworkRecord, read_safetensors, sha256
from fpsim.features.resize import as_rgb
from fpsim.measure.lpips import lpips_distance
from fpsim.number.user_files import check_regular

#: The architecture's name in a safetensors header.
ARCHITECTURE = "lpips-alexnet"
_CHANNELS = (64, 192, 384, 256, 256)
#: Tensor name to shape; ``head<i>`` weighs the channels of ``conv<i>``.
SHAPES = {
    "conv1.weight": (64, 3, 11, 11),
    "conv2.weight": (192, 64, 5, 5),
    "conv3.weight": (384, 192, 3, 3),
    "conv4.weight": (256, 384, 3, 3),
    "conv5.weight": (256, 256, 3, 3),
    **{f"conv{i}.bias": (n,) for i, n in enumerate(_CHANNELS, 1)},
    **{f"head{i}": (n,) for i, n in enumerate(_CHANNELS, 1)},
}
#: Height and width of the smallest image: below, a pool of AlexNet has nothing to pool.
LEAST = 31
#: Beyond, the first layer alone takes gigabytes.
MOST = 4096
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_BATCH = 32


class Lpips:
    """LPIPS with AlexNet, version 0.1.

    Args:
        tensors: names and shapes of :data:`SHAPES`.
        record: the file and the resize rule.
        size: both sides of the images in pixels after a bilinear resize; None takes images as they are.

    Raises:
        FpsimError: other tensors.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], record: NetworkRecord, size: int | None = None) -> None:
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if found != SHAPES:
            wrong = sorted(name for name in SHAPES.keys() | found.keys() if SHAPES.get(name) != found.get(name))
            raise FpsimError(
                f"{record.name} does not hold LPIPS's AlexNet (wrong: {', '.join(wrong[:3])}); convert again"
            )
        self.record, self.size = record, size
        self._tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self._heads = [self._tensors[f"head{i}"].numpy() for i in range(1, 6)]

    def __call__(self, reference: NDArray[np.uint8], images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The distance of each image from the reference at the same index.

        Args:
            reference: uint8 [N, H, W, C], H and W at least 31 unless they are resized, C of 1 (shown as grey RGB)
                or 3.
            images: uint8, the same shape.

        Returns:
            float64 [N].

        Raises:
            FpsimError: the shapes differ, or images are too small.
        """
        if reference.shape != images.shape or reference.ndim != 4:
            raise FpsimError(
                f"images of {images.shape} and references of {reference.shape} were given: LPIPS needs pairs"
            )
        if self.size is None and min(reference.shape[1:3]) < LEAST:
            raise FpsimError(
                f"images of {reference.shape[1]} x {reference.shape[2]} pixels were given: "
                f"LPIPS with AlexNet needs at least {LEAST} x {LEAST}; have them resized (--lpips-size 64)"
            )
        starts = range(0, len(images), _BATCH)
        parts = [self._batch(reference[i : i + _BATCH], images[i : i + _BATCH]) for i in starts]
        return np.concatenate(parts)

    def _batch(self, a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
        return lpips_distance(self.maps(a), self.maps(b), self._heads)

    def maps(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The five layers' outputs after their ReLU, [N, C, h, w] each.

        Args:
            images: uint8 [N, H, W, C]; value / 127.5 − 1 is what LPIPS scales.
        """
        x = self._resized(torch.from_numpy(as_rgb(images).transpose(0, 3, 1, 2).astype(np.float32))) / 127.5 - 1.0
        x = (x - torch.tensor(_SHIFT)[:, None, None]) / torch.tensor(_SCALE)[:, None, None]
        maps = []
        with torch.inference_mode():
            for i in range(1, 6):
                weight, bias = self._tensors[f"conv{i}.weight"], self._tensors[f"conv{i}.bias"]
                if i in (2, 3):
                    x = F.max_pool2d(x, 3, 2)
                x = F.relu(
                    F.conv2d(x, weight, bias, stride=4 if i == 1 else 1, padding=weight.shape[2] // 2 - 3 * (i == 1))
                )
                maps.append(np.asarray(x.numpy()))
        return maps

    def _resized(self, x: torch.Tensor) -> torch.Tensor:
        """Images ``[N, 3, H, W]`` with both sides as asked for: half-pixel centres, values that are not rounded."""
        if self.size is None:
            return x
        shrinks = max(x.shape[2:]) > self.size  # without antialias, shrinking would skip pixels
        return F.interpolate(x, (self.size, self.size), mode="bilinear", align_corners=False, antialias=shrinks)


def load(path: str | Path, size: int | None = None) -> Lpips:
    """Load LPIPS's weights.

    Args:
        path: safetensors file with ``{"architecture": "lpips-alexnet"}`` in its header, such as
            ``experiments/convert_lpips.py`` writes.
        size: both sides of the images in pixels after a bilinear resize, 31 to 4096; None takes images as they are.
            Distances of another size are another metric: the record names it (``bilinear-64``).

    Raises:
        FpsimError: the file is missing, damaged or of another kind, or the size is out of range.
    """
    path = Path(path)
    if size is not None and not LEAST <= size <= MOST:
        raise FpsimError(f"images of {size} x {size} pixels for LPIPS were asked for; give {LEAST} to {MOST}")
    check_regular(path, "LPIPS file")
    architecture, tensors = read_safetensors(path)
    if architecture != ARCHITECTURE:
        raise FpsimError(f"{path} declares architecture {architecture!r}; LPIPS's is {ARCHITECTURE!r}: convert again")
    rule = "none" if size is None else f"bilinear-{size}"
    record = NetworkRecord(name=path.name, sha256=sha256(path), architecture=architecture, resize=rule)
    return Lpips(tensors, record, size)
