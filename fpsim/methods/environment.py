"""What a run's numbers depend on besides its options: versions, threads and the machine's kind."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

PACKAGES = ("numpy", "numba", "torch", "diffusers", "transformers", "scipy")


def environment() -> dict[str, Any]:
    """Return the versions, thread count and architecture that can change the last bits of a result."""
    return {
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
