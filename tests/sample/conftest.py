"""Tiny models for the tests of sampling, loaded once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "model"))

from tiny_folders import TinyFolders

from fpsim.model.load import LoadedModel, load


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks this small are slower on several threads, and much slower on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyFolders:
    """Saved tiny pipelines by kind."""
    return TinyFolders(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def model(tiny: TinyFolders) -> Callable[[str], LoadedModel]:
    """Loaded tiny models by kind, shared: tests leave them as they are."""
    return cache(lambda kind: load(str(tiny(kind))))
