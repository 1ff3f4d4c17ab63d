"""A tiny Stable Diffusion in a folder, from the makers of the model tests."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a text-to-image pipeline with random weights."""
    from tiny_pipelines import save_sd

    return save_sd(tmp_path_factory.mktemp("sd"))
