"""What quantized activations cost in a forward pass: the bundled model, batch 16, beside full precision.

    python tests/bench/bench_unet.py [--threads 2] [--repeats 15]

Per-channel e4m3 weights (already rounded) and static per-tensor e4m3 activations on the input of every convolution
and linear layer; forwards interleaved, medians, same threads, one run. Goal: a ratio of at most 1.3, better 1.1.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numba
import torch

import fpsim
from fpsim.model.load import load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--weights", default="e4m3")
    parser.add_argument("--acts", default="e4m3")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    numba.set_num_threads(args.threads)
    model = load("bundled")
    net, size = model.denoiser, model.denoiser.config.sample_size
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(16, net.config.in_channels, size, size, generator=generator)
    policy = fpsim.Policy.uniform(args.weights, args.acts)
    times: dict[str, list[float]] = {"full precision": [], "quantized": []}
    with torch.no_grad(), fpsim.quantize_(net, policy, calibration=[(x, t) for t in (100, 500, 900)]) as handle:
        elements = 0

        def count(inputs, _result):
            nonlocal elements
            elements += inputs.numel()

        for operand in handle.acts.values():
            operand.watch = count
        net(x, 500)
        for operand in handle.acts.values():
            operand.watch = None
        for _ in range(args.repeats + 2):
            with handle.bypass():
                times["full precision"].append(clock(lambda: net(x, 500)))
            times["quantized"].append(clock(lambda: net(x, 500)))
    medians = {name: statistics.median(found[2:]) for name, found in times.items()}
    for name, median in medians.items():
        print(f"{name:15s} {median * 1e3:7.1f} ms")
    ratio = medians["quantized"] / medians["full precision"]
    print(f"{model.name}, batch 16, {args.threads} threads: ratio {ratio:.2f} (goal 1.1, bound 1.3); "
          f"{len(handle.acts)} layers, {elements / 1e6:.1f} M activations rounded")  # fmt: skip


def clock(function) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
