"""Fixtures of the tests of ``fpsim simulate``; what is heavy is imported by those that need it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def model(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A UNet2DModel of 16 × 16 RGB images with its scheduler: the smallest images that SSIM takes are 11 × 11."""
    from diffusers import DDIMScheduler
    from tiny_pipelines import COSINE, tiny_unet

    folder = tmp_path_factory.mktemp("models") / "tiny-16"
    tiny_unet(size=16, channels=3).save_pretrained(folder)
    DDIMScheduler(**COSINE).save_pretrained(folder)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that ``--out`` can be the same relative name in each run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two pairs that nothing interrupted, in a folder of its own; only to be read."""
    from simulate_checks import PAIRS, simulate

    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        assert simulate(model, *PAIRS) == 0
    return home / "run"


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The image indices of each batch that is sampled."""
    from fpsim.methods import calibration
    from fpsim.sample import run

    found: list[tuple[int, ...]] = []
    for module in (run, calibration):
        original = module.sample_batch

        def counted(*args: Any, original: Any = original, **options: Any) -> Any:
            images = original(*args, **options)
            found.append(tuple(args[2]))
            return images

        monkeypatch.setattr(module, "sample_batch", counted)
    return found
