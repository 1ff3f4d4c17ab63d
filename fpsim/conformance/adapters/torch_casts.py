"""torch: ``Tensor.to`` on the CPU. One behaviour, whatever conversion it is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fpsim.conformance.adapters.casts import CastBackend
from fpsim.conformance.grid import Floats

_NAMES = {
    "e4m3": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "e4m3-fnuz": "float8_e4m3fnuz",
    "e5m2-fnuz": "float8_e5m2fnuz",
    "e8m0": "float8_e8m0fnu",
    "bfloat16": "bfloat16",
    "binary16": "float16",
}
_TYPES = {name: getattr(torch, kind) for name, kind in _NAMES.items() if hasattr(torch, kind)}


class TorchCastBackend(CastBackend):
    """Rounds as torch casts."""

    name, version, types = "torch-cast", str(torch.__version__), _TYPES

    def cast(self, t: Floats, kind: Any) -> Floats:
        """Return the cast's values in float32."""
        return np.asarray(torch.from_numpy(np.ascontiguousarray(t)).to(kind).to(torch.float32).numpy())
