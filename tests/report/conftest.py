"""A synthetic run folder, written as `fpsim simulate` writes one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fpsim.report import jsonsafe

LAYERS = [
    "conv_in",
    "time_embedding.linear_1",
    "down_blocks.0.resnets.0.conv1",
    "mid_block.attentions.0.to_q",
    "conv_out",
]
MakeRun = Callable[..., dict[str, Any]]


def layer(name: str, place: int, quality: float) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "Conv2d" if "conv" in name else "Linear",
        "weights": "e4m3",
        "acts": "e4m3",
        "weight_sqnr_db": quality + place % 3,
        "weight_sparsity": 0.01 + 0.002 * (place * 7 % 11),
        "act_sqnr_db": quality - place % 4,
        "act_sparsity": 0.12,
        "output_sqnr_db": quality - 2 + 1.5 * math.sin(place),
    }


def row(label: str, slug: str, index: int, names: Sequence[str], count: int) -> dict[str, Any]:
    quality = 31.5 - 4 * index
    psnr = [quality + math.sin(image) for image in range(count)]
    return {
        "label": label,
        "slug": slug,
        "images": f"images/{slug}.npz",
        "weights": "e4m3 (OCP, fn, max 448), per channel, mse scale",
        "acts": "e4m3 (OCP, fn, max 448), per tensor, static mse scale",
        "policy": '[[rule]]\nmatch = "*"\nweights = "e4m3"\nacts = "e4m3"\n',
        "model_bytes": 2_740_000 // (index + 1),
        "model_bytes_full": 10_939_780,
        "psnr_db": {"mean": quality, "per_image": psnr},
        "ssim": {"mean": 0.98 - 0.05 * index, "per_image": [0.98 - 0.05 * index] * count},
        "timesteps": [
            {"step": step, "t": 980 - 20 * step, "latent_sqnr_db": quality + 9 - 0.2 * step, "output_sqnr_db": quality}
            for step in range(50)
        ],
        "layers": [layer(name, place, quality) for place, name in enumerate(names)],
        "left": [{"name": "conv_norm_out", "kind": "GroupNorm", "reason": "norms stay in full precision"}],
    }


def make_contents(labels: Sequence[str], *, count: int = 16, names: Sequence[str] = LAYERS) -> dict[str, Any]:
    return {
        "fpsim": "0.1.0",
        "run_hash": "3f2a9c41d07b",
        "model": {
            "name": "fashion-28",
            "requested": "bundled",
            "kind": "unconditional",
            "class": "UNet2DModel",
            "parameters": 2_734_945,
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "source": "fpsim/model/weights/fashion-28",
        },
        "sampling": {
            "scheduler": "DDIMScheduler",
            "steps": 50,
            "num_images": count,
            "batch_size": 16,
            "seed": 0,
            "dtype": "float32",
            "device": "cpu",
            "prompts": None,
            "guidance_scale": None,
        },
        "quantization": {
            "weights_granularity": "channel",
            "acts_granularity": "tensor",
            "scale": "mse",
            "act_scales": "static",
            "skip": [],
            "backend": "numba",
            "policy_file": None,
        },
        "environment": {
            "python": "3.11.7",
            "numpy": "2.4.6",
            "torch": "2.13.0",
            "diffusers": "0.42.1",
            "numba": "0.66.0",
            "threads": 2,
            "machine": "x86_64",
        },
        "command": "fpsim simulate "
        + " ".join(f"--quant {label}" for label in labels)
        + " --num-images 16 --out runs/demo",
        "reference": {"label": "full precision", "images": "images/full-precision.npz"},
        "rows": [row(label, f"row-{index}", index, names, count) for index, label in enumerate(labels)],
    }


def make_images(count: int, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """A disc on a gradient, moved from image to image."""
    y, x = np.mgrid[0:height, 0:width]
    images = np.empty((count, height, width, channels), np.uint8)
    for image in range(count):
        disc = (x - width * (0.3 + 0.4 * (image % 4) / 3)) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2
        for channel in range(channels):
            images[image, ..., channel] = np.where(disc, 60 + 60 * channel, (x + y) * 255 // (height + width))
    return images


def write_folder(folder: Path, run: dict[str, Any], images: NDArray[np.uint8]) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "run.json").write_text(jsonsafe.dumps(run), encoding="utf-8")
    for index, entry in enumerate([run["reference"], *run["rows"]]):
        noisy = images.astype(np.int64) + index * 8 * (np.indices(images.shape).sum(0) % 3 - 1)
        np.savez_compressed(folder / entry["images"], arr_0=np.clip(noisy, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(name="make_run")
def make_run_fixture() -> MakeRun:
    return make_contents


@pytest.fixture(name="make_folder")
def make_folder_fixture(tmp_path: Path) -> Callable[..., Path]:
    def build(run: dict[str, Any], shape: tuple[int, int, int] = (28, 28, 1), name: str = "run") -> Path:
        images = make_images(run["sampling"]["num_images"], *shape)
        return write_folder(tmp_path / name, run, images)

    return build


@pytest.fixture(name="make_images")
def make_images_fixture() -> Callable[..., NDArray[np.uint8]]:
    return make_images
