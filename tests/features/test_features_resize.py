"""Resize rules: TensorFlow 1's bilinear by its definition, Pillow's bicubic by Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fpsim.errors import FpsimError
from fpsim.features.resize import as_rgb, clean_bicubic, prepare, tf1_bilinear


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def by_definition(image: NDArray[np.uint8], side: int) -> NDArray[np.float64]:
    height, width, channels = image.shape
    out = np.zeros((channels, side, side))
    for i in range(side):
        y = i * height / side
        for j in range(side):
            x = j * width / side
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            near = [float(p) * (1 - (x - x0)) + float(q) * (x - x0) for p, q in
                    ((a, b) for y_ in (y0, y1) for a, b in zip(image[y_, x0], image[y_, x1], strict=True))]  # fmt: skip
            out[:, i, j] = np.array(near[:channels]) * (1 - (y - y0)) + np.array(near[channels:]) * (y - y0)
    return out


@pytest.mark.parametrize(("height", "width", "side"), [(4, 4, 11), (5, 3, 8), (9, 12, 5), (7, 7, 7)])
def test_tf1_bilinear_is_its_definition(height: int, width: int, side: int) -> None:
    images = noise(2, height, width, 3)
    found = tf1_bilinear(images, side).numpy()
    assert found.shape == (2, 3, side, side)
    for image, result in zip(images, found, strict=True):
        np.testing.assert_allclose(result, by_definition(image, side), atol=1e-3)


def test_tf1_bilinear_is_neither_half_pixel_nor_antialiased() -> None:
    """The first pixel stays, the last is repeated, and shrinking by two takes every second pixel as it is."""
    ramp = np.arange(0, 80, 10, dtype=np.uint8)[None, :, None, None].repeat(8, 2).repeat(3, 3)
    up = tf1_bilinear(ramp, 16)[0, 0, :, 0].tolist()
    assert up[:4] == [0, 5, 10, 15]
    assert up[-2:] == [70, 70]
    assert tf1_bilinear(ramp, 4)[0, 0, :, 0].tolist() == [0, 20, 40, 60]


def test_clean_bicubic_is_pillow_s_on_each_channel() -> None:
    images = noise(1, 40, 30, 3)
    found = clean_bicubic(images, 20).numpy()
    for c in range(3):
        plane = Image.fromarray(images[0, ..., c].astype(np.float32)).resize((20, 20), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(found[0, c], np.clip(np.asarray(plane), 0, 255))
    assert (found != np.round(found)).any()


@pytest.mark.parametrize(("rule", "side"), [("tf1-bilinear", 299), ("clean-bicubic", 299), ("none", 6)])
def test_range_and_size_that_a_network_sees(rule: str, side: int) -> None:
    images = np.stack([np.zeros((6, 6, 3), np.uint8), np.full((6, 6, 3), 255, np.uint8)])
    found = prepare(images, rule)
    assert tuple(found.shape) == (2, 3, side, side)
    assert found.dtype.is_floating_point
    assert found[0].unique().tolist() == [-1.0]
    assert found[1].unique().tolist() == [0.9921875]


def test_grey_images_become_rgb() -> None:
    grey = noise(2, 5, 5, 1)
    np.testing.assert_array_equal(prepare(grey, "none")[:, 2], prepare(grey, "none")[:, 0])
    np.testing.assert_array_equal(as_rgb(grey)[..., 1:2], grey)
    with pytest.raises(FpsimError, match="images of 4 channels"):
        as_rgb(noise(1, 5, 5, 4))
    with pytest.raises(FpsimError, match="no resize rule 'lanczos'"):
        prepare(grey, "lanczos")
