"""ml_dtypes: ``numpy.ndarray.astype`` to its types. One behaviour, whatever conversion it is compared with."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from fpsim.conformance.adapters.casts import CastBackend
from fpsim.conformance.grid import Floats

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


class MlDtypesBackend(CastBackend):
    """Rounds as ml_dtypes casts."""

    name, version, types = "ml_dtypes", ml_dtypes.__version__, _TYPES

    def cast(self, t: Floats, kind: Any) -> Floats:
        """Return the cast's values in float32."""
        return np.asarray(t.astype(kind).astype(np.float32))
