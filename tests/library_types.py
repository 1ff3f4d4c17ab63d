"""The types that other libraries have for formats of the catalogue."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch

ML_DTYPES: dict[str, Any] = {
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e4m3-ieee": ml_dtypes.float8_e4m3,
    "e3m4-ieee": ml_dtypes.float8_e3m4,
    "e4m3-fnuz": ml_dtypes.float8_e4m3fnuz,
    "e5m2-fnuz": ml_dtypes.float8_e5m2fnuz,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "e2m3": ml_dtypes.float6_e2m3fn,
    "e3m2": ml_dtypes.float6_e3m2fn,
    "bfloat16": ml_dtypes.bfloat16,
    "binary16": np.float16,
}
TORCH = {
    "e4m3": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
    "e4m3-fnuz": torch.float8_e4m3fnuz,
    "e5m2-fnuz": torch.float8_e5m2fnuz,
    "bfloat16": torch.bfloat16,
    "binary16": torch.float16,
}
