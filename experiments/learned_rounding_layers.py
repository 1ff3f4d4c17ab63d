"""Does learned rounding lower each layer's output error on inputs that it has not seen? (Chen et al. 2024, V-B)

    python experiments/learned_rounding_layers.py [--weights e2m1] [--iterations 300] [--steps 20] [--smoke]

Each layer of a model learns the rounding of its weight from the inputs of one calibration run in full precision. The
table compares the mean squared error of its output with that of rounding to nearest, on those inputs and on the
inputs of another calibration run (other noise, the same steps), per tensor and per channel: 1 is as good as nearest.
``descent`` is coordinate descent from nearest alone, ``learned`` Adam and then coordinate descent.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import torch

import fpsim
from fpsim.methods.chen2024 import settings
from fpsim.methods.rounding_calls import FIRST_INDEX, record_calls
from fpsim.methods.rounding_settings import options as read_options
from fpsim.model.grams import capture_grams, plan_passes
from fpsim.model.layers import quantizable
from fpsim.model.load import LoadedModel, load
from fpsim.quant.rounding.columns import as_matrices
from fpsim.quant.rounding.gram import Gram
from fpsim.quant.rounding.learn import learn_rounding
from fpsim.quant.rounding.options import RoundingOptions
from fpsim.quant.rounding.quadratic import mean_squared_error, quadratic
from fpsim.sample.spec import SampleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Output errors relative to nearest: of descent and learned rounding, on seen and unseen inputs."""

    name: str
    shape: tuple[int, ...]
    seen: tuple[float, float]
    unseen: tuple[float, float]
    changed: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--weights", default="e2m1")
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    if args.smoke:
        args.iterations, args.steps, args.samples = 5, 2, 2
    model = load(args.model)
    began = time.process_time()
    chosen = settings({"rounding_iters": args.iterations}, model.kind, args.steps)
    seen, unseen = grams(model, args.steps, args.samples, 0), grams(model, args.steps, args.samples, 1 << 20)
    print(f"{model.name}, weights {args.weights}, {args.steps} steps, {args.samples} samples a step; ", end="")
    print(f"{args.iterations} iterations, lr {chosen['lr']}, lambda {chosen['lambda']}, beta {chosen['beta']}")
    for granularity in (fpsim.PerTensor(), fpsim.PerChannel(0)):
        print(f"\nper {granularity}; mean squared output error, nearest = 1")
        print(f"{'':44s}{'':18s}{'inputs seen':>18s}{'unseen':>18s}")
        print(f"{'layer':44s}{'weight':18s}{'descent':>9s}{'learned':>9s}{'descent':>9s}{'learned':>9s}{'changed':>9s}")
        lines = []
        found = measured(model, seen, unseen, args.weights, granularity, read_options(chosen))
        for line in islice(found, 5 if args.smoke else None):
            lines.append(line)
            shape = "x".join(map(str, line.shape))
            print(f"{line.name:44s}{shape:18s}{line.seen[0]:9.3f}{line.seen[1]:9.3f}"
                  f"{line.unseen[0]:9.3f}{line.unseen[1]:9.3f}{line.changed:9.1%}", flush=True)  # fmt: skip
        conclude(lines)
    print(f"\n{time.process_time() - began:.0f} s of processor time, {torch.get_num_threads()} threads")


def grams(model: LoadedModel, steps: int, samples: int, after: int) -> dict[str, Gram]:
    """The Gram matrices of all layers over one calibration run."""
    spec = SampleSpec(steps=steps, num_images=1, batch_size=samples, seed=0)
    calls = record_calls(model, spec, samples, lambda _done, _total: None, first=FIRST_INDEX + after)
    layers = dict(quantizable(model.denoiser))
    plan = plan_passes(layers)
    for name, reason in plan.left.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    return {name: gram for group in plan.groups for name, gram in capture_grams(model.denoiser, group, calls).items()}


def measured(
    model: LoadedModel,
    seen: dict[str, Gram],
    unseen: dict[str, Gram],
    weights: str,
    granularity: fpsim.PerTensor | fpsim.PerChannel,
    how: RoundingOptions,
) -> Iterator[Line]:
    for name, module in quantizable(model.denoiser):
        if name not in seen:
            continue
        weight = module.weight.detach()
        quantizer = fpsim.Quantizer(weights, granularity).fit(weight)
        tried = [learn_rounding(weight, quantizer, seen[name], o) for o in (replace(how, iterations=0), how)]
        nearest = quantizer(weight)
        yield Line(
            name=name,
            shape=tuple(weight.shape),
            seen=tuple(relative(seen[name], weight, found.weight, nearest) for found in tried),
            unseen=tuple(relative(unseen[name], weight, found.weight, nearest) for found in tried),
            changed=tried[1].changed,
        )


def relative(gram: Gram, weight: torch.Tensor, rounded: torch.Tensor, nearest: torch.Tensor) -> float:
    """The output's error of a rounded weight by that of nearest."""
    form, groups = quadratic(gram, weight), len(gram.hessian)
    ours, theirs = (mean_squared_error(form, as_matrices((w - weight).double(), groups)) for w in (rounded, nearest))
    return ours / theirs if theirs else 1.0


def conclude(lines: list[Line]) -> None:
    ratios = sorted(line.unseen[1] for line in lines)
    print(f"unseen inputs: {sum(r <= 1 for r in ratios)} of {len(ratios)} layers not above nearest, "
          f"{sum(r <= 0.9 for r in ratios)} at least 10 % below; median {ratios[len(ratios) // 2]:.3f}, "
          f"largest {ratios[-1]:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
