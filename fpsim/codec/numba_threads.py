"""How many threads a compiled loop gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

#: Below this many values one thread takes under 0.1 ms, and a busy core cannot hold up a second one that the call
#: would wait for (16 ms were measured, whatever the size).
SOLO = 1 << 17


def run(kernel: Callable[..., None], x: NDArray[np.floating], *arguments: Any) -> None:
    """Call a parallel kernel on Numba's threads, or on one where ``x`` is small; results do not depend on it."""
    threads = numba.get_num_threads()
    if threads == 1 or x.size >= SOLO:
        kernel(x, *arguments)
        return
    numba.set_num_threads(1)
    try:
        kernel(x, *arguments)
    finally:
        numba.set_num_threads(threads)
