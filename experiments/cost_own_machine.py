"""Is the measured level right? Calibrate this machine, then run the bundled model and SD 1.5's U-Net and compare.

    python experiments/cost_own_machine.py [--threads 1] [--seconds 120]

Real steps are single forward passes at one sample, without guidance; of several, the least time counts. With one thread
the process's own time is taken, which leaves out what others run; with more, wall time, so the machine has to be idle.
Weights are random. Exits 3 where a step is predicted worse than within 20 %. ``--smoke`` takes the bundled model only
and no bounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

from fpsim.cost.architectures import architecture, build
from fpsim.cost.calibration_file import Calibration
from fpsim.cost.catalogue import lookup
from fpsim.cost.estimating import estimate
from fpsim.cost.machine import as_device, bandwidth, fitted, time_operations
from fpsim.cost.model_inputs import Sizes
from fpsim.cost.timing import timed

BOUND = 0.20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    models = ["bundled"] if args.smoke else ["bundled", "sd15"]
    found = time_operations(models, "cpu", "fp32", 5.0 if args.smoke else args.seconds)
    device = as_device("here", "cpu", "fp32", found, bandwidth("cpu"), 100.0, 1e12)
    parameters = fitted(device, "fp32", found, "this run")
    names = ("cpu.winograd", "cpu.linear", "cpu.attention", "cpu.bandwidth", "cpu.t0", "cpu.launch", "pointwise")
    print(f"{args.threads} threads, torch {torch.__version__}, {len(found)} operations timed")
    print(f"FP32 {device.peaks['fp32'].dense.value / 1e9:.0f} GFLOPS, {device.bandwidth.value / 1e9:.1f} GB/s")
    print(", ".join(f"{name} {parameters.values[name]:.3g}" for name in names))
    calibration = Calibration(parameters=parameters, devices={"here": device})
    missed = False
    for name in models:
        guess = estimate(name, device="here", cfg=False, calibration=calibration)
        real = timed(step(name), "cpu", budget=20.0 if name == "sd15" else 2.0, least=1)
        error = guess.latency_s / real - 1
        missed |= abs(error) > BOUND
        inside = "inside" if guess.low <= real <= guess.high else "outside"
        print(
            f"{name:8s} real {1e3 * real:9.1f} ms, predicted {1e3 * guess.latency_s:9.1f} ms ({error:+.1%}), {inside} "
            f"{1e3 * guess.low:.1f} to {1e3 * guess.high:.1f}, bound {1e3 * guess.bound:.1f} ms"
        )
    if missed and not args.smoke:
        sys.exit(3)


def step(name: str) -> Callable[[], Any]:
    """One forward pass of a model's denoiser with random weights."""
    part = lookup(name).parts[0]
    module = build(part.kind, part.config).to_empty(device="cpu").eval()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(-0.02, 0.02)  # neither zeros nor denormal numbers, which take another time
    config = {**getattr(module, "config", {}), **part.config}
    inputs = architecture(part.kind).inputs(config, Sizes(batch=1, latent=part.latent, tokens=part.tokens))
    if isinstance(inputs, Mapping):
        named = {key: real(value) for key, value in inputs.items()}
        return lambda: module(**named)
    ordered = [real(value) for value in inputs]
    return lambda: module(*ordered)


def real(value: Any) -> Any:
    """A meta tensor's values: random numbers, or ones where integers are wanted."""
    if isinstance(value, dict):
        return {key: real(item) for key, item in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    return torch.randn(value.shape) if value.is_floating_point() else torch.ones(value.shape, dtype=value.dtype)


if __name__ == "__main__":
    main()
