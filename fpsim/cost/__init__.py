"""What a policy costs on hardware: devices as data, operation lists, latency, memory, throughput and energy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpsim.cost.device_file import find, known
    from fpsim.cost.estimating import estimate
    from fpsim.cost.result import Estimate
    from fpsim.cost.tracing import trace

# NumPy and torch load when a name that needs them is first used.
_LAZY = {
    "Estimate": "fpsim.cost.result",
    "estimate": "fpsim.cost.estimating",
    "find": "fpsim.cost.device_file",
    "known": "fpsim.cost.device_file",
    "trace": "fpsim.cost.tracing",
}

__all__ = ["Estimate", "estimate", "find", "known", "trace"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'fpsim.cost' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
