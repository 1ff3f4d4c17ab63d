"""A tensor, granularities and backends that the tests of quantizers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fpsim import PerBlock, PerChannel, PerTensor

BACKENDS = ("numpy", "numba", "torch")
X = np.random.default_rng(0).standard_t(4, (4, 6, 5)).astype(np.float32) * np.float32([[[1]], [[3]], [[9]], [[27]]])


def same(ours: Any, theirs: Any) -> bool:
    """Equal bit for bit, signs of zeros included."""
    return ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


GRANULARITIES = (PerTensor(), PerChannel(0), PerChannel(1), PerChannel(-1), PerBlock(4, 1), PerBlock(3))
