"""Fixtures of the fuzz tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz_harness import ModelLoaded
from safetensors.numpy import save_file


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a safetensors file; models are not loaded."""
    from fpsim.cli import simulate_run

    def loaded(*_: Any, **__: Any) -> Any:
        raise ModelLoaded

    home = tmp_path_factory.mktemp("fuzz")
    save_file({"w": np.ones((4, 8), np.float32)}, home / "in.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("NO_COLOR", "1")
        patch.setattr(simulate_run, "load", loaded)
        yield home
    assert "run" not in os.listdir(home)
