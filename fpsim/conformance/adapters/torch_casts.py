"""torch: ``Tensor.to`` on the CPU. One behaviour, whatever conversion it is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fpsim.conformance.adapters.casts import by_format, refuse, refuse_zero_point, scaled
from fpsim.conformance.grid import Floats
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion

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


class TorchCastBackend:
    """Rounds as torch casts; follows :class:`fpsim.conformance.adapters.Library`."""

    name, arrays = "torch-cast", "numpy"
    version: str = str(torch.__version__)
    formats = tuple(_TYPES)
    roundings, overflows, nans = ("ties-to-even",), ("saturate", "special"), ("keep",)

    def __init__(self) -> None:
        self._types = by_format(_TYPES)

    def quantize(
        self,
        x: Floats,
        fmt: ElementFormat,
        scale: Floats,
        out: Floats,
        zero_point: Any = None,
        how: Conversion = DEFAULT,
    ) -> None:
        """Write the values that the cast gives; ``how`` is what they will be compared with.

        Raises:
            FpsimError: a format that torch lacks, or a zero point.
        """
        refuse_zero_point(self.name, zero_point)
        if fmt.grid not in self._types:
            raise refuse(self.name, fmt, self.formats)
        kind = self._types[fmt.grid]

        def cast(t: Floats) -> Floats:
            return np.asarray(torch.from_numpy(np.ascontiguousarray(t)).to(kind).to(torch.float32).numpy())

        scaled(x, scale, out, cast)
