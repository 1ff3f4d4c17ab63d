"""Tiny models for the tests of loading."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tiny_folders import TinyFolders


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread: None) -> None:
    """All tests here are small."""


@pytest.fixture
def copy(tiny: TinyFolders, tmp_path: Path) -> Callable[[str], Path]:
    """A model's folder that the test may damage."""
    return lambda kind: Path(shutil.copytree(tiny(kind), tmp_path / kind))


@pytest.fixture
def warnings_said() -> Iterator[list[str]]:
    """What diffusers and transformers log; pytest's own capture does not see their handlers."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    for logger in loggers:
        logger.addHandler(handler)
    yield said
    for logger in loggers:
        logger.removeHandler(handler)
