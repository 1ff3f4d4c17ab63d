"""Tiny models for the tests of sampling, loaded once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from tiny_folders import TinyFolders

from fpsim.model.load import LoadedModel, load


@pytest.fixture(scope="session", autouse=True)
def _one_thread(one_thread: None) -> None:
    """All tests here are small."""


@pytest.fixture(scope="session")
def model(tiny: TinyFolders) -> Callable[[str], LoadedModel]:
    """Loaded tiny models by kind, shared: tests leave them as they are."""
    return cache(lambda kind: load(str(tiny(kind))))
