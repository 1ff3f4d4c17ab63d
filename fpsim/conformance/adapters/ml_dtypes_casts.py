"""ml_dtypes: ``numpy.ndarray.astype`` to its types. One behaviour, whatever conversion it is compared with."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from fpsim.conformance.adapters.casts import by_format, refuse, refuse_zero_point, scaled
from fpsim.conformance.grid import Floats
from fpsim.number import ElementFormat
from fpsim.number.conversion import DEFAULT, Conversion

_TYPES = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e4m3-ieee": ml_dtypes.float8_e4m3,
    "e3m4-ieee": ml_dtypes.float8_e3m4,
    "e4m3-fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2-fnuz": ml_dtypes.float8_e5m2fnuz,
    "e4m3-fnuz@11": ml_dtypes.float8_e4m3b11fnuz,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
    "bfloat16": ml_dtypes.bfloat16,
}


class MlDtypesBackend:
    """Rounds as ml_dtypes casts; follows :class:`fpsim.conformance.adapters.Library`."""

    name, arrays = "ml_dtypes", "numpy"
    version: str = ml_dtypes.__version__
    formats = tuple(name for name in _TYPES if "@" not in name)
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
            FpsimError: a format that ml_dtypes lacks, or a zero point.
        """
        refuse_zero_point(self.name, zero_point)
        if fmt.grid not in self._types:
            raise refuse(self.name, fmt, self.formats)
        kind = self._types[fmt.grid]
        scaled(x, scale, out, lambda t: np.asarray(t.astype(kind).astype(np.float32)))
