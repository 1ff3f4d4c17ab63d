"""Fixtures of the tests of feature networks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Networks this small are slower on several threads."""
    torch.set_num_threads(1)
