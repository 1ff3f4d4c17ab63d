"""Tiny models for the tests of loading."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from tiny_pipelines import TinyFolders


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks this small are slower on several threads, and much slower on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyFolders:
    """Saved tiny pipelines by kind."""
    return TinyFolders(tmp_path_factory.mktemp("tiny"))
