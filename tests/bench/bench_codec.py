"""Time of rounding beside a copy of the same array: ``python tests/bench/bench_codec.py [--quick]``.

2^24 float32 numbers of N(0, 1), on 1 and 2 threads. All cases of a thread count are run in turn, nine times over, and
each shows its median, so that a disturbance meets all of them. ``x copy`` is the ratio to copying the array into a
ready buffer on as many threads; a fresh array pays for its pages too, which the copy does not.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from numba import njit, prange

import fpsim
from fpsim.number import Format

#: name -> format and the goal with ``out=``; fresh arrays have FRESH.
CASES: dict[str, tuple[Format, float]] = {
    "e4m3": (fpsim.format("e4m3"), 1.25),
    "e5m2": (fpsim.format("e5m2"), 1.25),
    "e2m1": (fpsim.format("e2m1"), 1.25),
    "e3m0": (fpsim.format("e3m0"), 1.25),
    "e3m4, bias 6.37": (fpsim.format("e3m4", bias=6.37), 1.25),
    "e4m3, no subnormals": (fpsim.format("e4m3", subnormals=False), 1.25),
    "int8": (fpsim.format("int8"), 1.25),
    "int4": (fpsim.format("int4"), 1.25),
    "mxfp4": (fpsim.format("mxfp4"), 1.25),
    "nvfp4": (fpsim.format("nvfp4"), 2.0),
}
FRESH = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table; times in ns per element."""

    name: str
    array: str
    threads: int
    time: float
    ratio: float
    goal: float

    @property
    def text(self) -> str:
        met = "yes" if self.ratio <= self.goal else "NO"
        return (
            f"{self.name:<20}  {self.array:<5}  {self.threads:>7}  {self.time:>10.3f}  {self.ratio:>6.2f}  "
            f"{self.goal:>6.2f}  {met:>3}"
        )


@njit(parallel=True)
def copy_on_threads(x, y):  # type: ignore[no-untyped-def]
    """Copy in as many pieces as there are threads."""
    pieces = numba.get_num_threads()
    for piece in prange(pieces):
        first, last = piece * x.size // pieces, (piece + 1) * x.size // pieces
        y[first:last] = x[first:last]


def runs(x: np.ndarray, out: np.ndarray, threads: int) -> dict[tuple[str, str], Callable[[], object]]:
    """What is timed, the copy first."""
    found: dict[tuple[str, str], Callable[[], object]] = {
        ("copy", "out="): (lambda: np.copyto(out, x)) if threads == 1 else (lambda: copy_on_threads(x, out))
    }
    for name, (fmt, _) in CASES.items():
        found[name, "out="] = lambda fmt=fmt: fpsim.quantize(x, fmt, out=out, backend="numba")
        found[name, "fresh"] = lambda fmt=fmt: fpsim.quantize(x, fmt, backend="numba")
    return found


def medians(calls: dict[tuple[str, str], Callable[[], object]], repeats: int) -> dict[tuple[str, str], float]:
    """Seconds of each call: the median of ``repeats`` rounds over all of them."""
    for call in calls.values():
        call()
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for _ in range(repeats):
        for key, call in calls.items():
            begin = time.perf_counter()
            result = call()
            times[key].append(time.perf_counter() - begin)
            del result
    return {key: statistics.median(values) for key, values in times.items()}


def measure(size: int, repeats: int, threads: int) -> list[Row]:
    """All rows of a thread count."""
    numba.set_num_threads(threads)
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    seconds = medians(runs(x, np.empty_like(x), threads), repeats)
    copy = seconds["copy", "out="]
    rows = []
    for (name, array), value in seconds.items():
        goal = 1.0 if name == "copy" else CASES[name][1] if array == "out=" else FRESH
        rows.append(
            Row(name=name, array=array, threads=threads, time=value / size * 1e9, ratio=value / copy, goal=goal)
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2^20 numbers and three rounds: does it run at all?")
    quick = parser.parse_args().quick
    size, repeats = (1 << 20, 3) if quick else (1 << 24, 9)
    rows = [
        row
        for threads in (1, 2)
        if threads <= numba.config.NUMBA_NUM_THREADS
        for row in measure(size, repeats, threads)
    ]
    print(
        f"{platform.machine()}, {numba.config.NUMBA_NUM_THREADS} threads at most; {size} float32, medians of {repeats}"
    )
    print(f"{'format':<20}  {'array':<5}  {'threads':>7}  {'ns/element':>10}  {'x copy':>6}  {'goal':>6}  {'met':>3}")
    print("\n".join(row.text for row in rows))


if __name__ == "__main__":
    main()
