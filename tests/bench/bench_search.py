"""Time of the format search beside brute force: ``python tests/bench/bench_search.py [--quick | --sd15]``.

One tensor of 2^20 float32 numbers of N(0, 1), 4 encodings x 111 biases, in one run on the same threads:

- ``sorted sums``: ``fpsim.search_format``;
- ``torch, buffered``: every candidate rounded by the addition of a magic number, in place in ready buffers;
- ``log2 and round``: every candidate as the paper's equations 6 to 9 read, with fresh tensors, as range estimators do.

Each shows its best time of several. Goals: at most 15 ms, 15 times and 100 times as fast. ``--sd15`` searches all
weights of a U-Net of Stable Diffusion 1.5's shape with random values (goal 60 s, and 1 GB beside the weights).
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numba
import numpy as np
import torch

import fpsim
from fpsim.quant.search.candidates import Encoding, encodings_of, fractions_of

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
GOALS = {"sorted sums": 0.015, "torch, buffered": 15, "log2 and round": 100}
GOAL_SD15_S, GOAL_SD15_BYTES = 60, 1e9


def log2_and_round(x: torch.Tensor, encoding: Encoding, maximum: float) -> float:
    """Mean squared error by equations 6, 9 and 8, each value by itself."""
    m, bias = encoding.mantissa_bits, float(encoding.bias(np.float64(maximum)))
    clipped = torch.clamp(x, -maximum, maximum)
    p = torch.clamp(torch.floor(torch.log2(torch.abs(clipped)) + bias), min=1.0)
    s = 2.0 ** (p - bias - m)
    return float(torch.mean((torch.round(clipped / s) * s - x) ** 2))


class Buffered:
    """The same without logarithms and without fresh memory."""

    def __init__(self, x: torch.Tensor) -> None:
        self.x, self.t = x, torch.empty_like(x)
        self.step, self.rounded = torch.empty_like(x), torch.empty_like(x)

    def __call__(self, encoding: Encoding, maximum: float) -> float:
        fmt = encoding.default
        scale = maximum / float(fmt.max)
        torch.mul(self.x, 1 / scale, out=self.t)
        torch.clamp(self.t, -float(fmt.max), float(fmt.max), out=self.rounded)
        torch.bitwise_and(self.rounded.view(torch.int32), 0x7F800000, out=self.step.view(torch.int32))
        torch.clamp(self.step, min=float(fmt.min_normal), out=self.step)
        self.step.mul_(1.5 * 2.0 ** (23 - encoding.mantissa_bits))
        self.rounded.add_(self.step).sub_(self.step)
        torch.sub(self.t, self.rounded, out=self.t)
        return float(torch.dot(self.t, self.t)) * scale * scale / self.x.numel()


def best(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls, after one that compiles and maps memory."""
    call()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def all_errors(error: Callable[[Encoding, float], float], largest: float) -> np.ndarray:
    """Errors of all candidates ``[encodings, maxima]``."""
    return np.array([[error(e, largest * f) for f in fractions_of()] for e in encodings_of(8)])


def one_tensor(size: int, repeats: int) -> None:
    """Measure and print."""
    x = np.random.default_rng(0).standard_normal(size, np.float32)
    t, largest = torch.from_numpy(x), float(np.abs(x).max())
    buffered = Buffered(t)
    calls: dict[str, Callable[[], np.ndarray]] = {
        "sorted sums": lambda: fpsim.search_format(x).errors[0],
        "torch, buffered": lambda: all_errors(buffered, largest),
        "log2 and round": lambda: all_errors(lambda e, c: log2_and_round(t, e, c), largest),
    }
    exact = calls["sorted sums"]()
    print(f"{size} float32, {exact.size} candidates, {numba.get_num_threads()} threads, best of several")
    print(f"{'method':<16} {'ms':>9} {'times':>7} {'goal':>7} {'met':>4}  argmin  largest relative difference")
    ours = 0.0
    for name, call in calls.items():
        seconds = best(call, max(1, repeats // {"sorted sums": 1, "torch, buffered": 10, "log2 and round": 20}[name]))
        ours = ours or seconds
        goal, ratio = GOALS[name], seconds / ours
        met = seconds <= goal if name == "sorted sums" else ratio >= goal
        found = call()
        off = np.max(np.abs(found - exact) / exact)
        shown = f"{goal * 1e3:.0f} ms" if name == "sorted sums" else f"{goal}x"
        print(f"{name:<16} {seconds * 1e3:9.2f} {ratio:7.1f} {shown:>7} {'yes' if met else 'NO':>4}  "
              f"{int(found.argmin()):>6}  {off:.1e}")  # fmt: skip


def weights(config: dict[str, object]) -> Iterator[np.ndarray]:
    """Random weights of the shapes of a U-Net, the largest first: sigma 1 / sqrt(fan_in), some of them Student's t."""
    from diffusers import UNet2DConditionModel

    from fpsim.model.layers import quantizable

    with torch.device("meta"):
        model = UNet2DConditionModel.from_config(config)
    shapes = sorted((tuple(module.weight.shape) for _, module in quantizable(model)), key=np.prod, reverse=True)
    rng = np.random.default_rng(0)
    for place, shape in enumerate(shapes):
        if place % 5 == 4 and np.prod(shape) < 4e6:
            x = rng.standard_t(5, shape).astype(np.float32)
        else:
            x = rng.standard_normal(shape, np.float32)
        x /= np.float32(np.sqrt(np.prod(shape[1:])))
        yield x


def resident() -> int:
    """Bytes that the process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def unet(config: dict[str, object]) -> None:
    """Search all weights of a U-Net and print."""
    fpsim.search_format(np.ones(1 << 18, np.float32))  # compile
    seconds, values, layers, extra = 0.0, 0, 0, 0
    chosen: dict[str, int] = {}
    for x in weights(config):
        before = resident()
        began = time.perf_counter()
        found = fpsim.search_format(x)
        seconds += time.perf_counter() - began
        extra = max(extra, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) if not layers else extra
        values, layers = values + x.size, layers + 1
        chosen[found.encoding.name] = chosen.get(found.encoding.name, 0) + 1
    print(
        f"{layers} layers, {values:,} values, 444 candidates each, {numba.get_num_threads()} threads: {seconds:.1f} s"
    )
    print(f"goal {GOAL_SD15_S} s; {extra / 1e6:.0f} MB beside the largest weight, goal {GOAL_SD15_BYTES / 1e6:.0f} MB")
    print("chosen: " + ", ".join(f"{name} x {count}" for name, count in sorted(chosen.items())))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=min(2, numba.config.NUMBA_NUM_THREADS))
    parser.add_argument("--quick", action="store_true", help="2^14 numbers, few repeats, a small U-Net: does it run?")
    parser.add_argument("--sd15", action="store_true", help="All weights of a U-Net of Stable Diffusion 1.5's shape.")
    args = parser.parse_args()
    numba.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    if args.sd15:
        from sd15_forward import SD15

        small = {"block_out_channels": [32, 64, 64, 64], "attention_head_dim": 4} if args.quick else {}
        unet({**SD15, **small})
        return
    one_tensor(1 << 14 if args.quick else 1 << 20, 1 if args.quick else 30)


if __name__ == "__main__":
    main()
