"""Speed of the matrix units' engine: ``python tests/bench/bench_tensorcore.py [--size 1024] [--threads 2]``.

One product of two square matrices, in multiply-accumulates a second, in one run on the same threads:

- ``fp32``: NumPy's float32 product (BLAS), which keeps all of it;
- ``fpsim``: :func:`fpsim.tensorcore.matmul`, decoding and checking of the operands included;
- ``numpy``: the same arithmetic written straightforwardly with NumPy arrays, one fused sum after another, on a
  smaller matrix. It must give the same bits.

Wall time is the best of several; ``core`` divides by the time that all threads spent computing, which other work on
the machine does not touch. Goal: 1 GMAC/s and better 3 on two cores for ``hopper e4m3``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from typing import Any

CASES = (
    ("hopper", "e4m3", {}),
    ("hopper", "e4m3", {"promote_every": 128}),
    ("hopper", "e4m3", {"instruction": "mma"}),
    ("ada", "e5m2", {}),
    ("blackwell-sm100", "e4m3", {}),
    ("blackwell-sm100", "nvfp4", {}),
    ("hopper", "bf16", {}),
    ("ampere", "fp16", {"accumulator": "fp16"}),
    ("ampere", "tf32", {}),
    ("volta", "fp16", {}),
    ("ampere", "int8", {}),
)
NAMES = {"fp16": "binary16", "bf16": "bfloat16", "nvfp4": "e2m1"}
GOAL, GOOD = 1.0, 3.0


def best(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds of wall and of processor time of the fastest of several calls, after one that compiles."""
    call()
    found = []
    for _ in range(repeats):
        wall, busy = time.perf_counter(), time.process_time()
        call()
        found.append((time.perf_counter() - wall, time.process_time() - busy))
    return min(wall for wall, _ in found), min(busy for _, busy in found)


def by_numpy(a: Any, b: Any, unit: Any) -> Any:
    """The fused sums of one unit on float64 arrays, [M, N] at a time, exactly: integers below 2^53."""
    import numpy as np

    def parts(x: Any, least: int) -> tuple[Any, Any]:
        exponent = np.maximum(np.frexp(x)[1] - 1, least)
        return np.ldexp(x, -exponent), np.where(x == 0, -9999, exponent)

    (sig_a, exp_a), (sig_b, exp_b) = parts(a.astype(float), -6), parts(b.astype(float), -6)
    total = np.zeros((a.shape[0], b.shape[1]))
    for begin in range(0, a.shape[1], unit.group):
        k = slice(begin, begin + unit.group)
        exponents = exp_a[:, k, None] + exp_b[None, k]
        sig_c, exp_c = parts(total, -126)
        top = np.maximum(np.maximum(exponents.max(1), exp_c), unit.exponent_floor)
        shifts = np.maximum(exponents - top[:, None], -60) + unit.fraction_bits
        terms = np.trunc(np.ldexp(sig_a[:, k, None] * sig_b[None, k], shifts)).sum(1)
        terms += np.trunc(np.ldexp(sig_c, np.maximum(exp_c - top, -60) + unit.fraction_bits))
        low = np.maximum(np.frexp(terms)[1] - 1 + top - unit.fraction_bits, -126) - unit.result_bits
        total = np.ldexp(np.trunc(np.ldexp(terms, top - unit.fraction_bits - low)), low)
    return total.astype(np.float32)


def operands(dtype: str, n: int) -> tuple[Any, Any, dict[str, Any]]:
    """Normally distributed operands that the type holds, and their block scales."""
    import numpy as np

    import fpsim

    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, n, n), np.float32)
    if dtype == "int8":
        return *np.clip(np.rint(40 * x), -128, 127), {}
    a, b = fpsim.quantize(x, fpsim.format(NAMES.get(dtype, dtype)))
    scales = np.ldexp(np.float32(1), rng.integers(-3, 4, (2, n, n // 16))) if dtype == "nvfp4" else None
    return a, b, {} if scales is None else {"scale_a": scales[0], "scale_b": scales[1].T}


def measure(size: int, repeats: int) -> float:
    """Print a line a case and return the first one's rate."""
    import numpy as np

    from fpsim.tensorcore import find_unit, matmul

    a, b, _ = operands("e4m3", size)
    wall, busy = best(lambda: a @ b, repeats)
    plain = size**3 / wall / 1e9
    print(f"{'':44} GMAC/s  a core   fp32 is faster by")
    print(f"{'fp32, NumPy':44} {plain:6.1f} {size**3 / busy / 1e9:7.1f}")
    rates = []
    for arch, dtype, more in CASES:
        a, b, scales = operands(dtype, size)
        wall, busy = best(
            lambda a=a, b=b, how={"arch": arch, "dtype": dtype} | more | scales: matmul(a, b, **how), repeats
        )
        rates.append(size**3 / wall / 1e9)
        name = f"fpsim, {arch} {dtype} {' '.join(map(str, (x for pair in more.items() for x in pair)))}"
        print(f"{name:44} {rates[-1]:6.2f} {size**3 / busy / 1e9:7.2f} {plain / rates[-1]:10.1f}")
    n = min(size, 128)
    a, b, _ = operands("e4m3", n)
    unit = find_unit("hopper", "e4m3")
    wall, busy = best(lambda: by_numpy(a, b, unit), 2)
    rate = n**3 / wall / 1e9
    print(f"{f'numpy, hopper e4m3, {n}^3':44} {rate:6.3f} {n**3 / busy / 1e9:7.3f} {plain / rate:10.0f}")
    print(f"fpsim is {rates[0] / rate:.0f} times as fast as numpy")
    if not np.array_equal(by_numpy(a, b, unit), matmul(a, b, arch="hopper", dtype="e4m3")):
        sys.exit("numpy and fpsim differ")
    return rates[0]


def main() -> None:
    """Measure, print, and fail below the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(given.threads)  # before NumPy and Numba load
    rate = measure(given.size, given.repeats)
    verdict = "beyond both goals" if rate >= GOOD else "the goal is met" if rate >= GOAL else "the goal is missed"
    print(f"{rate:.2f} GMAC/s on {given.threads} threads; goals {GOAL:g} and {GOOD:g}: {verdict}")
    sys.exit(rate < GOAL)


if __name__ == "__main__":
    main()
