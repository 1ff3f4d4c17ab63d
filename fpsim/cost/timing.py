"""Times of calls, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

#: No call is faster than a clock shows.
_TICK = 1e-7


def timed(call: Callable[[], Any], device: str, *, budget: float = 0.2, least: int = 3) -> float:
    """Return the least time of a call: other work only ever adds to it.

    With one thread on the CPU the time is the process's own, which leaves out what others run.

    Args:
        call: without arguments.
        device: ``cpu``, or ``cuda``, where calls of a batch follow one another without waiting.
        budget: seconds to spend, but for ``least`` calls.
        least: calls that are made in any case, after one that does not count.
    """
    with torch.inference_mode():
        return _cuda(call, budget, least) if device == "cuda" else _cpu(call, budget, least)


def _cpu(call: Callable[[], Any], budget: float, least: int) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    call()
    times: list[float] = []
    end = clock() + budget
    while len(times) < least or clock() < end:
        start = clock()
        call()
        times.append(clock() - start)
    return max(min(times), _TICK)


def _cuda(call: Callable[[], Any], budget: float, least: int, batch: int = 10) -> float:
    for _ in range(batch):
        call()
    torch.cuda.synchronize()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < least or time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(batch):
            call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / batch)
    return max(min(times), _TICK)
