"""How many threads torch and Numba use beside each other."""

from __future__ import annotations

import numba
import torch

import fpsim.codec.numba.twin  # noqa: F401 - chooses the threading layer, which must come first


def share_threads() -> None:
    """Start Numba's threads, as many as torch's at most, and leave torch the number that it has.

    Numba's OpenMP layer sets the number of threads of the whole process when it starts: torch would go on with
    Numba's number (every hyper-thread, by default) instead of its own (every core), and float32 results would differ
    in their last bits from those before.
    """
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
