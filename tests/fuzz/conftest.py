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
    """A working folder with a safetensors file and two sets of images; models are not loaded."""
    from fpsim.cli import allocate_run, search_run, simulate_run

    def loaded(*_: Any, **__: Any) -> Any:
        raise ModelLoaded

    home = tmp_path_factory.mktemp("fuzz")
    save_file({"w": np.ones((4, 8), np.float32)}, home / "in.safetensors")
    for name in ("a", "b"):
        np.savez(home / f"{name}.npz", arr_0=np.full((3, 16, 16, 1), ord(name), np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("NO_COLOR", "1")
        patch.setattr(simulate_run, "load", loaded)
        patch.setattr(search_run, "load", loaded)
        patch.setattr(allocate_run, "load", loaded)
        yield home
    assert "run" not in os.listdir(home)
