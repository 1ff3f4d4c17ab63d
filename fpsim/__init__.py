"""fpsim: try any number format on a real diffusion model, bit for bit, before the hardware exists."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fpsim.errors import FpsimError
from fpsim.number.names import format
from fpsim.version import __version__

if TYPE_CHECKING:
    from fpsim.codec.api import quantize
    from fpsim.codec.coding import decode, encode
    from fpsim.codec.encoded import Encoded, unpack
    from fpsim.model.attach import quantize_
    from fpsim.quant.granularity import PerBlock, PerChannel, PerTensor
    from fpsim.quant.packed import load_packed, save_packed
    from fpsim.quant.policy import Policy
    from fpsim.quant.quantizer import Quantizer
    from fpsim.quant.search.search import search_format

# NumPy, Numba and torch load when a name that needs them is first used: `fpsim table` needs none.
_LAZY = {
    "Encoded": "fpsim.codec.encoded",
    "PerBlock": "fpsim.quant.granularity",
    "PerChannel": "fpsim.quant.granularity",
    "PerTensor": "fpsim.quant.granularity",
    "Policy": "fpsim.quant.policy",
    "Quantizer": "fpsim.quant.quantizer",
    "decode": "fpsim.codec.coding",
    "encode": "fpsim.codec.coding",
    "load_packed": "fpsim.quant.packed",
    "quantize": "fpsim.codec.api",
    "quantize_": "fpsim.model.attach",
    "save_packed": "fpsim.quant.packed",
    "search_format": "fpsim.quant.search.search",
    "unpack": "fpsim.codec.encoded",
}

#: Sub-packages that `import fpsim` alone makes reachable.
_PACKAGES = ("cost", "tensorcore")

__all__ = [
    "Encoded",
    "FpsimError",
    "PerBlock",
    "PerChannel",
    "PerTensor",
    "Policy",
    "Quantizer",
    "__version__",
    "decode",
    "encode",
    "format",
    "load_packed",
    "quantize",
    "quantize_",
    "save_packed",
    "search_format",
    "unpack",
]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return import_module(f"fpsim.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'fpsim' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
