"""Fixtures of the codec's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numba
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from backends import plain_backend  # noqa: F401 - a fixture


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """On a busy machine the second thread makes a call on a small array wait for milliseconds."""
    torch.set_num_threads(1)
    numba.set_num_threads(1)
