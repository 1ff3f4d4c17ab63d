"""What a run's numbers depend on besides its options: versions, threads and the machine's kind."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fpsim.number.catalogue import folder

PACKAGES = ("numpy", "numba", "torch", "diffusers", "transformers", "safetensors", "scipy")


def environment() -> dict[str, Any]:
    """Return the versions, thread count and architecture that can change the last bits of a result."""
    return {
        "code": code_hash(),
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def code_hash() -> str:
    """Hash of the package's own sources and formats: the same version may still be other code in a checkout."""
    package = Path(__file__).resolve().parents[1]
    formats = [Path(str(item)) for item in folder().iterdir()]
    files = sorted(
        [*package.rglob("*.py"), *(file for file in formats if file.suffix == ".toml")], key=lambda f: f.name
    )
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
