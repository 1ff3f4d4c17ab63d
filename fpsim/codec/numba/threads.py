"""How many threads a compiled loop gets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

#: Below this many values one thread takes under 0.1 ms, and a busy core cannot hold up a second one that the call
#: would wait for (16 ms were measured, whatever the size).
SOLO = 1 << 17


@lru_cache(maxsize=1)
def _launch() -> None:
    """Start Numba's threads: its OpenMP layer then sets the process's number, but torch must keep its own."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else None
    numba.get_num_threads()
    if torch is not None and torch.get_num_threads() != before:
        torch.set_num_threads(before)


def run(kernel: Callable[..., None], x: NDArray[np.floating], *arguments: Any) -> None:
    """Call a parallel kernel on Numba's threads, or on one where ``x`` is small; results do not depend on it."""
    _launch()
    threads = numba.get_num_threads()
    if threads == 1 or x.size >= SOLO:
        kernel(x, *arguments)
        return
    numba.set_num_threads(1)
    try:
        kernel(x, *arguments)
    finally:
        numba.set_num_threads(threads)
