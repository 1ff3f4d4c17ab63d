"""Matrix-multiply arithmetic of GPUs, bit for bit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpsim.tensorcore.architecture import Unit, architectures, find_unit, units
    from fpsim.tensorcore.bounds import error_bound
    from fpsim.tensorcore.dots import dot
    from fpsim.tensorcore.products import matmul

# NumPy and Numba load when something is multiplied; asking for an architecture's facts needs neither.
_LAZY = {
    "Unit": "fpsim.tensorcore.architecture",
    "architectures": "fpsim.tensorcore.architecture",
    "dot": "fpsim.tensorcore.dots",
    "error_bound": "fpsim.tensorcore.bounds",
    "find_unit": "fpsim.tensorcore.architecture",
    "matmul": "fpsim.tensorcore.products",
    "units": "fpsim.tensorcore.architecture",
}

__all__ = ["Unit", "architectures", "dot", "error_bound", "find_unit", "matmul", "units"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
