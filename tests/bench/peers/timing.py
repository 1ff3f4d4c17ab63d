"""Times: threads, clocks of host and device, copies to compare with, rounds over all calls."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from bench_codec import copy_on_threads

from peers.case import Case, shared_out

Call = Callable[[], Any]
#: Elements of a first look at a call, and ns per element above which it gets a smaller array and three rounds.
LOOK = 1 << 16
SLOW = {1000.0: 1 << 14, 20.0: 1 << 20}


def set_threads(threads: int) -> None:
    """For Numba and for torch, whose OpenMP runtimes both have to be told; NumPy's loops have one thread anyway."""
    numba.set_num_threads(threads)
    torch.set_num_threads(threads)


def host_clock(call: Call) -> float:
    """Seconds of a call; its result is dropped only after that."""
    begin = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begin
    del result
    return seconds


def device_clock(call: Call) -> float:
    """Seconds of a call by the device's own events."""
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    result = call()
    end.record()
    end.synchronize()
    del result
    return float(begin.elapsed_time(end)) / 1e3


def medians(calls: dict[Case, Call], rounds: int, clock: Callable[[Call], float]) -> dict[Case, float]:
    """Seconds of every call: the median of ``rounds`` rounds over all of them, so that a disturbance meets all.

    The first call after another library's pays for what that has pushed out of the caches (0.3 ms were measured), so
    it is repeated and the second one counts.
    """
    times: dict[Case, list[float]] = {case: [] for case in calls}
    before = ""
    for _ in range(rounds):
        for case, call in calls.items():
            if case.peer != before:
                clock(call)
            before = case.peer
            times[case].append(clock(call))
    return {case: statistics.median(found) for case, found in times.items()}


def copy_call(x: np.ndarray, share: float, threads: int, device: str) -> Call:
    """A copy into a ready array that moves ``8 · share`` bytes for each element of ``x``."""
    count = int(x.size * share)
    source, out = x[:count], shared_out(x)[:count]
    if device != "cpu":
        there, into = torch.from_numpy(source).to(device), torch.empty(count, device=device)
        return lambda: into.copy_(there)
    if threads == 1:
        return lambda: np.copyto(out, source)
    return lambda: copy_on_threads(source, out)


def fitting_size(case: Case, x: np.ndarray) -> int:
    """How many of the values a call gets: all of them unless a first look says that it is slow."""
    if case.compiled:  # never slow, and every size would be compiled anew
        return x.size
    look = x[: min(LOOK, x.size)]
    call = case.make(torch.from_numpy(look) if case.tensors else look)
    call()
    each = host_clock(call) / look.size * 1e9
    return next((min(size, x.size) for limit, size in SLOW.items() if each > limit), x.size)
