"""Fixtures of the quantizers' tests."""

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
    """Arrays this small are rounded sooner on one thread."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)
