"""A tiny model for the tests of simulations: 16 × 16 images, the smallest that SSIM takes are 11 × 11."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from diffusers import DDIMScheduler
from simulation_checks import quiet, request, row
from tiny_pipelines import COSINE, tiny_unet

from fpsim.methods.simulation import simulate
from fpsim.model.load import LoadedModel, load


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread: None) -> None:
    """All tests here are small."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved UNet2DModel of 16 × 16 RGB images with its scheduler."""
    path = tmp_path_factory.mktemp("models") / "tiny-16"
    unet: Any = tiny_unet(size=16, channels=3)
    unet.save_pretrained(path)
    DDIMScheduler(**COSINE).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def model(folder: Path) -> LoadedModel:
    """The model, shared: tests leave it as it is."""
    return load(str(folder))


@pytest.fixture(scope="module")
def done(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A finished run of two rows."""
    out = tmp_path_factory.mktemp("run")
    return simulate(request(row(), row("e4m3", "e4m3", None, "conv_in")), model, out, quiet), out
