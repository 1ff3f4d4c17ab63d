"""Fixtures of many folders; what is heavy is imported by the fixtures that need it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "model")]


@pytest.fixture(scope="session")
def one_thread() -> None:
    """Small arrays and networks are slower on several threads, and much slower on a busy machine."""
    import numba
    import torch

    numba.set_num_threads(1)
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Saved tiny pipelines by kind."""
    from tiny_folders import TinyFolders

    return TinyFolders(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def plain_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a third-party backend (``plain``) that is installed while the test runs, also for subprocesses."""
    from backends import install

    from fpsim.codec import protocol

    site = tmp_path / "site"
    site.mkdir()
    name = install(site)
    monkeypatch.syspath_prepend(str(site))
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    protocol.backend.cache_clear()
    yield name
    protocol.backend.cache_clear()
