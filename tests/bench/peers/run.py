"""The passes of the benchmark, one after another, printed as they end."""

from __future__ import annotations

import io
import logging
import platform
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numba
import numpy as np
import torch

from peers import with_fpsim
from peers.case import Case, version
from peers.load import NOTES, load, not_offered, use
from peers.measure import Bench
from peers.table import table, verdict

#: On a device, arrays must exceed its caches.
DEVICE_POWER = 26


def values(power: int) -> np.ndarray:
    """What is rounded."""
    return np.random.default_rng(0).standard_normal(1 << power, np.float32)


def run(names: list[str], folder: Path, power: int, rounds: int) -> None:
    """Measure and print.

    Args:
        names: of the peers.
        folder: where they are installed.
        power: of two, of the number of values.
        rounds: repetitions of every call.
    """
    logging.disable(logging.CRITICAL)  # peers and compilers tell much, and failures are rows here
    warnings.simplefilter("ignore")
    use(folder)
    with redirect_stdout(io.StringIO()):  # pychop prints what it has to say
        peers, absent = load(names, folder)
    most = numba.config.NUMBA_NUM_THREADS
    print(f"{platform.machine()}, {most} threads at most; {', '.join(map(version, ('numpy', 'numba', 'torch')))}")
    print(f"N(0, 1), 2^{power} float32; medians of {rounds} rounds, of 3 at most on smaller arrays\n")
    x = values(power)
    sizes: dict[Case, int] = {}
    own = with_fpsim.cases()
    for threads in sorted({1, most}):
        with redirect_stdout(io.StringIO()):
            rows = Bench(x=x, rounds=rounds, threads=threads, sizes=sizes).run([*own, *peers])
        print(table("1 thread" if threads == 1 else f"{threads} threads", [*rows, *absent]))
        print(verdict(rows), end="\n\n", flush=True)
    print(f"formats without a row: {not_offered(peers) or 'none'}")
    print("\n".join(note for note in NOTES if note.split(":")[0] in names))
    _on_device([case for case in peers if case.tensors], power, rounds)


def _on_device(peers: list[Case], power: int, rounds: int) -> None:
    if not torch.cuda.is_available():
        print("on a device: skipped, it needs a CUDA device and a torch that was built for it")
        return
    power = max(power, DEVICE_POWER)
    rows = Bench(x=values(power), rounds=rounds, device="cuda").run([*with_fpsim.device_cases(), *peers])
    print(table(f"{torch.cuda.get_device_name()}, 2^{power} elements", rows))
    print(verdict(rows))
